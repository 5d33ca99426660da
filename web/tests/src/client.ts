// Apollo Client's client.
// docs: apollo-client
import { ApolloClient, type ApolloLink } from "@apollo/client";
import type { Api } from "@cruddur/client";
import { apolloLink, MessageCache } from "@cruddur/client/apollo";
import possibleTypes from "./generated/possible-types";

export const clientOf = (api: Api, ...before: ApolloLink[]) =>
  new ApolloClient({
    link: apolloLink(api, ...before),
    // Without `possibleTypes`, `... on Problem` matches no type.
    cache: new MessageCache({ possibleTypes: possibleTypes.possibleTypes }),
  });
// docs: end
