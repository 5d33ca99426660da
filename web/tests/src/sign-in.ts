// The token functions of a page.
// docs: connect
import { connectApi, type Token } from "@cruddur/client";

export const apiOf = (url: string, token: Token, onSignedOut: () => void) => connectApi({ url, token, onSignedOut });
// docs: end
// docs: dev-token
// With `cruddur dev`: a token of a demo user. `issuer` is the address of the issuer that `dev` prints.
export function demoToken(issuer: string, handle: string): Token {
  let current: string | undefined;
  return async ({ forceRefresh }) => {
    if (!current || forceRefresh) {
      const headers = { "content-type": "application/json" };
      const response = await fetch(new URL("/token", issuer), { method: "POST", headers, body: JSON.stringify({ handle }) });
      if (response.status >= 500) throw new Error(`The issuer responded with ${response.status}`);
      const { access_token }: { access_token?: string } = await response.json();
      current = access_token;
    }
    return current;
  };
}
// docs: end
// docs: oidc-token
import { ErrorResponse, type UserManager } from "oidc-client-ts";

// With Cognito or any other OpenID provider.
export function oidcToken(manager: UserManager): Token {
  return async ({ forceRefresh }) => {
    const user = await manager.getUser();
    if (user && !user.expired && !forceRefresh) return user.access_token;
    try {
      return (await manager.signinSilent())?.access_token;
    } catch (error) {
      // The provider refuses to renew the token. Without a response, as without a network, the client tries again.
      if (error instanceof ErrorResponse) return null;
      throw error;
    }
  };
}
// docs: end
