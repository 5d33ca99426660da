// The state that the pages of a signed-in user share: the API, the live connection, the outbox and the drafts.
import { createContext, useContext, useSyncExternalStore } from "react";
import type { ApolloClient } from "@apollo/client";
import { destinationKey, Outbox, type ConnectionState, type Destination, type OutgoingMessage, type Retry, type SendResult } from "@cruddur/client";
import { createDrafts, type Drafts } from "./drafts";
import { BUSY, failureOf, FAULT, TOO_FAST } from "./failures";
import type { MessageCreatedSubscription, UserPartsFragment } from "./gql/graphql";
import { CreateMessage } from "./operations";
import type { Store } from "./stores";

export type NewMessage = MessageCreatedSubscription["messageCreated"];

export interface Messenger {
  client: ApolloClient;
  viewer: UserPartsFragment;
  outbox: Outbox;
  drafts: Drafts;
  // Rejections that are shown beside the field of their destination.
  rejections: Store<ReadonlyMap<string, string>>;
  connection: Pick<Store<ConnectionState>, "get" | "subscribe">;
  reconnect: () => void;
  // Calls back with each message that is newer than the lists of the first request, once the cache contains it.
  onNewMessage: (listener: (event: NewMessage) => void) => () => void;
  // Calls back when a message of the outbox is stored, with its group.
  onSent: (listener: (message: OutgoingMessage, messageGroupUuid: string) => void) => () => void;
  graphiql: string | null;
  signOut: () => void;
}

const MessengerContext = createContext<Messenger | null>(null);
export const MessengerProvider = MessengerContext.Provider;

export function useMessenger(): Messenger {
  const messenger = useContext(MessengerContext);
  if (!messenger) throw new Error("There is no messenger around this component.");
  return messenger;
}

export function useStore<Value>({ subscribe, get }: Pick<Store<Value>, "subscribe" | "get">): Value {
  return useSyncExternalStore(subscribe, get);
}

/** The messages to a destination that are not yet known to be stored. */
export function useOutgoing(isDestination: (to: Destination) => boolean): readonly OutgoingMessage[] {
  const { outbox } = useMessenger();
  const messages = useSyncExternalStore(outbox.subscribe, outbox.messages);
  return messages.filter(({ to, state }) => state !== "unknown" && isDestination(to));
}

// Creates the drafts, the outbox and their listeners for one user.
export function createWriting(
  client: ApolloClient,
  viewerUuid: string,
  rejections: Messenger["rejections"],
  retry: Store<Retry | null>,
) {
  const drafts = createDrafts(viewerUuid);
  const sentListeners = new Set<(message: OutgoingMessage, messageGroupUuid: string) => void>();
  const reject = (to: string, reason: string) => rejections.set(new Map(rejections.get()).set(to, reason));

  const outbox = new Outbox({
    viewerUuid,
    send: (message) => send(client, message, (uuid) => outbox.stored(message.idempotencyKey, uuid)),
    onRejected({ to, body }, reason) {
      const destination = destinationKey(to);
      const draft = drafts.read(destination);
      drafts.write(destination, draft ? `${body}\n${draft}` : body);
      reject(destination, reason);
    },
    onSent(message, messageGroupUuid) {
      for (const listener of sentListeners) listener(message, messageGroupUuid);
    },
  });
  // `@cruddur/client` waits by itself when messages exceed the rate limit or the server is unavailable.
  retry.subscribe(() => {
    const { operationName, code = "" } = retry.get() ?? {};
    if (operationName === "CreateMessage") outbox.explain(code === "RATE_LIMITED" ? TOO_FAST : BUSY);
  });
  const onSent: Messenger["onSent"] = (listener) => {
    sentListeners.add(listener);
    return () => sentListeners.delete(listener);
  };
  return { drafts, outbox, onSent };
}

async function send(
  client: ApolloClient,
  { to, body, idempotencyKey }: OutgoingMessage,
  onStored: (messageUuid: string) => void,
): Promise<SendResult> {
  try {
    const input = { to, body, idempotencyKey };
    const { data } = await client.mutate({
      mutation: CreateMessage,
      variables: { input },
      // Together with the cache, so that no rendering has the message twice.
      update(_, { data }) {
        const result = data?.createMessage;
        if (result?.__typename === "CreateMessageSuccess") onStored(result.messageEdge.node.uuid);
      },
    });
    const result = data?.createMessage;
    switch (result?.__typename) {
      case undefined:
        return { kind: "failed", reason: FAULT };
      case "CreateMessageSuccess":
        return {
          kind: "sent",
          messageGroupUuid: result.messageGroupEdge.node.uuid,
        };
      case "InvalidMessageBody":
        return {
          kind: "rejected",
          reason:
            result.length > result.maxLength
              ? `The message has ${result.length} characters. ${result.maxLength} are possible.`
              : "The message is empty.",
        };
      case "MessageGroupNotFound":
        return { kind: "rejected", reason: "This message group does not exist any more." };
      case "ReceiverNotFound":
        return { kind: "rejected", reason: "No user has this handle any more." };
      case "CannotMessageYourself":
        return { kind: "rejected", reason: "You cannot send a message to yourself." };
      default:
        // A type of rejection that a later version of the API has added.
        return { kind: "rejected", reason: "The server does not accept this message." };
    }
  } catch (error) {
    const { reason, isTemporary, retryAfterMs } = failureOf(error);
    return isTemporary ? { kind: "retry", reason, retryAfterMs } : { kind: "failed", reason };
  }
}
