// docs: relay-mark
import { commitMutation, type Environment } from "relay-runtime";
import { markReadMutation } from "./operations";
import type { operationsMarkReadMutation } from "./__generated__/operationsMarkReadMutation.graphql";

// Call this with the newest visible message while the window has the focus.
export const markRead = (environment: Environment, messageGroupUuid: string, upTo: string) =>
  new Promise<void>((resolve, reject) => {
    commitMutation<operationsMarkReadMutation>(environment, {
      mutation: markReadMutation,
      variables: { input: { messageGroupUuid, upTo } },
      updater(store, data) {
        const read = data?.markMessageGroupRead;
        if (read?.__typename !== "MarkMessageGroupReadSuccess") return;
        store.getRoot().setValue(read.unreadMessageGroupCount, "unreadMessageGroupCount");
      },
      onCompleted: (_, errors) => (errors ? reject(errors[0]) : resolve()),
      onError: reject,
    });
  });
// docs: end
