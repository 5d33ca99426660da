// A page with Apollo Client's hooks. `web/app` is a complete application.
// docs: apollo-react
import { useEffect, useSyncExternalStore } from "react";
import { ApolloProvider, useApolloClient, useQuery } from "@apollo/client/react";
import type { Api } from "@cruddur/client";
import { listen } from "@cruddur/client/apollo";
import { clientOf } from "./client";
import { MessageCreated, MessageGroups, MessageGroupUpdated, Start } from "./operations";

// One `api` and one client for each signed-in user.
export const page = (api: Api) => (
  <ApolloProvider client={clientOf(api)}>
    <Connection api={api} />
    <Groups api={api} />
  </ApolloProvider>
);

function Groups({ api }: { api: Api }) {
  const client = useApolloClient();
  const { data, fetchMore } = useQuery(Start);
  useEffect(() => {
    let isOver = false;
    let stop = () => {};
    // The same request as that of `useQuery`.
    void client.query({ query: Start }).then((started) => {
      if (isOver || !started.data) return;
      const after = started.data.eventCursor;
      stop = listen(client, api, { after, messageCreated: MessageCreated, messageGroupUpdated: MessageGroupUpdated });
    });
    return () => {
      isOver = true;
      stop();
    };
  }, [client, api]);
  if (!data) return <p>Loading</p>;
  const { edges, pageInfo } = data.messageGroups;
  const more = () => fetchMore({ query: MessageGroups, variables: { after: pageInfo.endCursor } });
  return (
    <>
      <h1>{data.viewer.displayName}</h1>
      <ul>
        {edges.map(({ node: { id, otherUser, lastMessage, unreadCount } }) => (
          <li key={id}>
            {otherUser.displayName} ({unreadCount}): {lastMessage.body}
          </li>
        ))}
      </ul>
      {pageInfo.hasNextPage && <button onClick={() => void more()}>More</button>}
    </>
  );
}

function Connection({ api }: { api: Api }) {
  const { status, since } = useSyncExternalStore(api.live.onState, api.live.getState);
  if (status === "idle" || status === "connected") return null;
  if (status === "signedOut") return <p>Sign in again.</p>;
  return (
    <p>
      No connection since {new Date(since).toLocaleTimeString()}. <button onClick={api.live.reconnect}>Try again</button>
    </p>
  );
}
// docs: end
