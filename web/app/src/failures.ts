// Descriptions of the API's failures, and whether the same request can succeed later.
import { CombinedGraphQLErrors, ServerError } from "@apollo/client";
import { SignedOut } from "@cruddur/client";

export interface Failure {
  reason: string;
  // Whether the app tries again by itself, and the time after which the server allows it.
  isTemporary: boolean;
  retryAfterMs: number | null;
  isSignedOut: boolean;
}

export const TOO_FAST = "You are sending too fast. The app sends again in a moment.";
export const BUSY = "The server is busy. The app tries again.";

export const FAULT = "The server could not complete the request.";

const failure = (reason: string, change: Partial<Failure> = {}): Failure => ({
  reason,
  isTemporary: false,
  retryAfterMs: null,
  isSignedOut: false,
  ...change,
});

const milliseconds = (value: unknown) => (typeof value === "number" ? value : null);

export function failureOf(error: unknown): Failure {
  if (error instanceof SignedOut) return failure("You are signed out.", { isSignedOut: true });
  if (CombinedGraphQLErrors.is(error)) {
    const extensions = error.errors[0]?.extensions ?? {};
    const retryAfterMs = milliseconds(extensions.retryAfterMs);
    switch (extensions.code) {
      case "RATE_LIMITED":
        return failure(TOO_FAST, { isTemporary: true, retryAfterMs });
      case "UNAVAILABLE":
        return failure(BUSY, { isTemporary: true, retryAfterMs });
      case "UNAUTHENTICATED":
        return failure("You are signed out.", { isSignedOut: true });
      case "FORBIDDEN":
        return failure("Your account is not set up for messages yet.");
      case "IDEMPOTENCY_KEY_REUSED":
        return failure("Another message was already sent in place of this one.");
      default:
        return failure(FAULT);
    }
  }
  if (ServerError.is(error)) {
    const isTemporary = error.statusCode >= 500 || error.statusCode === 429;
    return failure(isTemporary ? BUSY : FAULT, { isTemporary });
  }
  // `fetch` rejects with a TypeError when there is no connection.
  return failure("No connection. The app tries again.", { isTemporary: true });
}
