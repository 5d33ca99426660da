// The signed-in user.

/**
 * Resolves to a valid access token, and with `forceRefresh` to a new one, because the server has rejected the previous
 * token. Resolves to null when the user has to sign in again, as when the refresh token has expired. Rejects when the
 * token cannot be renewed now, as without a network: the client tries again.
 */
export type Token = (options: { forceRefresh: boolean }) => Promise<string | null | undefined>;

/** The user has to sign in again. */
export class SignedOut extends Error {
  override name = "SignedOut";
  constructor(cause?: unknown) {
    super("The user has to sign in again", { cause });
  }
}

export interface Session {
  /** Rejects with `SignedOut` when the user has to sign in again. */
  token: (options: { forceRefresh: boolean }) => Promise<string>;
  signOut: (cause?: unknown) => void;
  isSignedOut: () => boolean;
  onSignedOut: (listener: (reason: SignedOut) => void) => () => void;
}

export function createSession(token: Token): Session {
  let isSignedOut = false;
  const listeners = new Set<(reason: SignedOut) => void>();
  function signOut(cause?: unknown) {
    if (isSignedOut) return;
    isSignedOut = true;
    const reason = new SignedOut(cause);
    for (const listener of [...listeners]) listener(reason);
  }
  return {
    async token(options) {
      const current = isSignedOut ? null : await token(options);
      if (current) return current;
      signOut();
      throw new SignedOut();
    },
    signOut,
    isSignedOut: () => isSignedOut,
    onSignedOut(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
