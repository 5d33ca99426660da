// docs: relay-live
import { requestSubscription, type Environment } from "relay-runtime";
import { placeGroup, placeMessage } from "./lists";
import { messageCreatedSubscription, messageGroupUpdatedSubscription } from "./operations";
import type { operationsMessageCreatedSubscription } from "./__generated__/operationsMessageCreatedSubscription.graphql";
import type { operationsMessageGroupUpdatedSubscription } from "./__generated__/operationsMessageGroupUpdatedSubscription.graphql";

// For as long as somebody is signed in. An error is the end of it: sign in again.
export function listen(environment: Environment, onError: (error: Error) => void) {
  const messages = requestSubscription<operationsMessageCreatedSubscription>(environment, {
    subscription: messageCreatedSubscription,
    variables: {},
    updater(store) {
      const created = store.getRootField("messageCreated");
      placeMessage(store, created);
      placeGroup(store, created);
    },
    onError,
  });
  const groups = requestSubscription<operationsMessageGroupUpdatedSubscription>(environment, {
    subscription: messageGroupUpdatedSubscription,
    variables: {},
    // The group itself is in the store by then, with what is unread in it.
    updater(store, data) {
      store.getRoot().setValue(data?.messageGroupUpdated.unreadMessageGroupCount, "unreadMessageGroupCount");
    },
    onError,
  });
  return () => {
    messages.dispose();
    groups.dispose();
  };
}
// docs: end
