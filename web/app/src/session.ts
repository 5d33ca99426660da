// Sign-in by authorization code and PKCE, on Cognito's pages in production and on the local issuer's page with `dev`.
// Tokens are in memory and in the session storage, so two tabs can be signed in as two users.
import type { User, UserManager } from "oidc-client-ts";
import type { Token } from "@cruddur/client";
import type { Config } from "./config";

export interface Session {
  token: Token;
  // Navigates to the sign-in page, which returns to `returnTo`.
  signIn: (returnTo: string) => Promise<void>;
  signOut: () => Promise<void>;
  // Deletes the tokens of this tab.
  forget: () => Promise<void>;
  // Completes a sign-in. Resolves to the path to continue with.
  finishSignIn: () => Promise<string>;
  isSignedIn: () => boolean;
}

// A token is renewed if it expires within this time, in seconds.
const RENEW_BEFORE = 10;

export function createSession({ authority, clientId, scope, tokenUse }: Config["signIn"]): Session {
  // oidc-client-ts stores the user under this name.
  const stored = `oidc.user:${authority}:${clientId}`;
  const { origin } = location;

  let managing: Promise<UserManager> | undefined;
  // oidc-client-ts is loaded only when it is needed, which is not the case while the stored token is valid.
  const manager = () =>
    (managing ??= import("oidc-client-ts").then(({ UserManager, WebStorageStateStore }) => {
      const store = new WebStorageStateStore({ store: sessionStorage });
      return new UserManager({
        authority,
        client_id: clientId,
        scope,
        redirect_uri: `${origin}/signed-in`,
        post_logout_redirect_uri: `${origin}/`,
        userStore: store,
        stateStore: store,
        automaticSilentRenew: false,
      });
    }));

  let current: { token: string; expiresAt: number } | undefined;
  const take = (user: User) => {
    current = { token: (tokenUse === "id" ? user.id_token : user.access_token) ?? "", expiresAt: user.expires_at ?? Number.POSITIVE_INFINITY };
    return current.token;
  };
  const isValid = () => current !== undefined && current.expiresAt - Date.now() / 1000 > RENEW_BEFORE;

  async function renew(): Promise<string | null> {
    const users = await manager();
    const user = await users.getUser();
    if (!user?.refresh_token) return null;
    try {
      const renewed = await users.signinSilent();
      return renewed && take(renewed);
    } catch (error) {
      // An `ErrorResponse` of the issuer means that the session has ended. Any other failure may be temporary.
      const { ErrorResponse } = await import("oidc-client-ts");
      if (!(error instanceof ErrorResponse)) throw error;
      await users.removeUser();
      current = undefined;
      return null;
    }
  }
  let renewing: Promise<string | null> | undefined;

  return {
    async token({ forceRefresh }) {
      current ??= readStored(stored, `${tokenUse}_token`);
      if (current && isValid() && !forceRefresh) return current.token;
      renewing ??= renew().finally(() => (renewing = undefined));
      return renewing;
    },
    async signIn(returnTo) {
      await (await manager()).signinRedirect({ state: returnTo });
    },
    async signOut() {
      const users = await manager();
      // The next user of this tab must not get the tokens, drafts and unsent messages.
      sessionStorage.clear();
      // Cognito's parameters, in addition to those of the standard.
      await users.signoutRedirect({ extraQueryParams: { client_id: clientId, logout_uri: `${origin}/` } });
    },
    async forget() {
      current = undefined;
      sessionStorage.removeItem(stored);
    },
    async finishSignIn() {
      const user = await (await manager()).signinRedirectCallback();
      take(user);
      return typeof user.state === "string" && user.state.startsWith("/messages") ? user.state : "/messages";
    },
    isSignedIn: () => sessionStorage.getItem(stored) !== null,
  };
}

function readStored(name: string, member: "access_token" | "id_token"): { token: string; expiresAt: number } | undefined {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(name) ?? "null");
    if (typeof value !== "object" || value === null) return undefined;
    const token: unknown = Reflect.get(value, member);
    if (typeof token !== "string") return undefined;
    const expiresAt = "expires_at" in value && typeof value.expires_at === "number" ? value.expires_at : 0;
    return { token, expiresAt };
  } catch {
    return undefined;
  }
}
