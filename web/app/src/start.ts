// From a signed-in session to the first screen: one request for all data of the screen, and a subscription from the cursor
// of that request.
import type { Retry } from "@cruddur/client";
import { listen } from "@cruddur/client/apollo";
import { connect } from "./api";
import type { Config } from "./config";
import { failureOf } from "./failures";
import { createWriting, type Messenger, type NewMessage } from "./messenger";
import { MessageCreated, MessageGroupUpdated, Start } from "./operations";
import type { Session } from "./session";
import { createStore } from "./stores";

export const GROUPS_PAGE = 30;
export const MESSAGES_PAGE = 50;

const NIL_UUID = "00000000-0000-0000-0000-000000000000";
export const isUuid = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

interface Options {
  config: Config;
  session: Session;
  shownGroup: string | null;
  // Stops all requests and subscriptions.
  signal: AbortSignal;
  // The user has to sign in again.
  onSessionEnd: () => void;
}

export async function startMessenger({ config, session, shownGroup, signal, onSessionEnd }: Options): Promise<Messenger> {
  const newMessageListeners = new Set<(event: NewMessage) => void>();
  const rejections = createStore<ReadonlyMap<string, string>>(new Map());
  const retry = createStore<Retry | null>(null);
  const { api, client, stop } = connect({ config, session, onSignedOut: onSessionEnd, onRetry: retry.set });
  signal.addEventListener("abort", stop);

  const variables = {
    groups: GROUPS_PAGE,
    messages: MESSAGES_PAGE,
    messageGroupUuid: shownGroup ?? NIL_UUID,
    showsGroup: shownGroup !== null,
  };
  const { data } = await untilAnswered(() => client.query({ query: Start, variables, fetchPolicy: "network-only" }), signal);
  signal.throwIfAborted();
  if (!data) throw new Error("The server has sent no data.");
  const { viewer, eventCursor, messageGroups } = data;
  const newestAt = messageGroups.edges[0]?.node.lastMessageAt ?? "";
  const writing = createWriting(client, viewer.uuid, rejections, retry);
  const stopListening = listen(client, api, {
    after: eventCursor,
    messageCreated: MessageCreated,
    messageGroupUpdated: MessageGroupUpdated,
    onMessage(event) {
      // An event can arrive before the response to the mutation.
      if (event.idempotencyKey) writing.outbox.stored(event.idempotencyKey, event.messageEdge.node.uuid);
      // The first events can be messages of the minute before the request, which its lists contain.
      if (event.messageEdge.node.createdAt <= newestAt) return;
      for (const listener of newMessageListeners) listener(event);
    },
    onError: (error) => console.warn(error),
  });
  const stopWaking = api.live.onState(() => {
    if (api.live.getState().status === "connected") writing.outbox.wake();
  });
  const end = () => {
    stopWaking();
    writing.outbox.close();
    stopListening();
  };
  signal.addEventListener("abort", end);
  return {
    ...writing,
    client,
    viewer,
    rejections,
    connection: { get: api.live.getState, subscribe: api.live.onState },
    reconnect: api.live.reconnect,
    onNewMessage(listener) {
      newMessageListeners.add(listener);
      return () => newMessageListeners.delete(listener);
    },
    graphiql: config.graphiql,
    signOut() {
      end();
      void session.signOut().catch(() => session.forget().then(() => location.assign("/")));
    },
  };
}

// Repeats a request while its failure can be temporary. After three failures, the user can try again.
async function untilAnswered<Result>(request: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
  for (let failures = 1; ; failures += 1) {
    signal.throwIfAborted();
    try {
      return await request();
    } catch (error) {
      const { isTemporary, isSignedOut, retryAfterMs } = failureOf(error);
      if (isSignedOut || !isTemporary || failures === 4) throw error;
      await new Promise((resolve) => setTimeout(resolve, retryAfterMs ?? 500 * 2 ** failures));
    }
  }
}
