// docs: relay-updater
import { commitMutation, ConnectionHandler, type Environment, type RecordSourceSelectorProxy } from "relay-runtime";
import { createMessageMutation } from "./operations";
import type {
  CreateMessageInput,
  operationsCreateMessageMutation,
  operationsCreateMessageMutation$data,
} from "./__generated__/operationsCreateMessageMutation.graphql";

// `@prependEdge` leaves a group where it is if it is in the list already; this moves it to the top.
function moveGroupToTop(store: RecordSourceSelectorProxy) {
  const edge = store.getRootField("createMessage")?.getLinkedRecord("messageGroupEdge");
  const group = edge?.getLinkedRecord("node");
  const groups = ConnectionHandler.getConnection(store.getRoot(), "operations_messageGroups");
  if (!edge || !group || !groups) return;
  ConnectionHandler.deleteNode(groups, group.getDataID());
  const moved = ConnectionHandler.createEdge(store, groups, group, "MessageGroupEdge");
  moved.copyFieldsFrom(edge);
  ConnectionHandler.insertEdgeBefore(groups, moved);
}

// `@appendEdge` puts the message at the end of `messages`, once, however often one is told of it.
export const send = (environment: Environment, input: CreateMessageInput, messages: string[]) =>
  new Promise<operationsCreateMessageMutation$data>((resolve, reject) => {
    commitMutation<operationsCreateMessageMutation>(environment, {
      mutation: createMessageMutation,
      variables: { input, messages },
      updater: moveGroupToTop,
      onCompleted: (data, errors) => (errors ? reject(errors[0]) : resolve(data)),
      onError: reject,
    });
  });
// docs: end
