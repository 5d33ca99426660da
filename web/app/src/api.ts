// Apollo Client for the API, and what the app does with its cache by itself.
import { ApolloClient, ApolloLink } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { connectApi, type Api, type Retry } from "@cruddur/client";
import { apolloLink, MessageCache } from "@cruddur/client/apollo";
import type { Config } from "./config";
import possibleTypes from "./gql/possible-types";
import type { Session } from "./session";

export interface Connection {
  api: Api;
  client: ApolloClient;
  stop: () => void;
}

interface Options {
  config: Config;
  session: Session;
  // The user has to sign in again.
  onSignedOut: () => void;
  onRetry: (retry: Retry) => void;
}

export function connect({ config, session, onSignedOut, onRetry }: Options): Connection {
  const api = connectApi({ url: config.graphql, token: session.token, onSignedOut, onRetry });
  const links = config.trustedDocuments ? [byIds()] : [];
  const cache = new MessageCache({ possibleTypes: possibleTypes.possibleTypes });
  const client = new ApolloClient({ link: apolloLink(api, ...links), cache });
  const stop = () => {
    client.stop();
    void api.live.dispose();
  };
  return { api, client, stop };
}

// Sends the IDs that graphql-codegen has written into the documents.
const byIds = (): ApolloLink =>
  new PersistedQueryLink({
    generateHash(document) {
      const meta: unknown = Reflect.get(document, "__meta__");
      return typeof meta === "object" && meta !== null && "hash" in meta ? String(meta.hash) : "";
    },
  });
