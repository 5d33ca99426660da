// docs: relay-live
import { requestSubscription, type Environment } from "relay-runtime";
import { placeGroup, placeMessage } from "./lists";
import { messageCreatedSubscription, messageGroupUpdatedSubscription } from "./operations";
import type { operationsMessageCreatedSubscription } from "./__generated__/operationsMessageCreatedSubscription.graphql";
import type { operationsMessageGroupUpdatedSubscription } from "./__generated__/operationsMessageGroupUpdatedSubscription.graphql";

// Call this when a user signs in and the returned function when the user signs out. After `onError`, the user has to
// sign in again.
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
    // Relay has already updated the group and its `unreadCount` in the store.
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
