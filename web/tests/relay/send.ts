// docs: relay-updater
import { commitMutation, type Environment } from "relay-runtime";
import { placeGroup } from "./lists";
import { createMessageMutation } from "./operations";
import type {
  CreateMessageInput,
  operationsCreateMessageMutation,
  operationsCreateMessageMutation$data,
} from "./__generated__/operationsCreateMessageMutation.graphql";

// `@appendEdge` appends the message to `messages`, and does nothing if the message is already there.
export const send = (environment: Environment, input: CreateMessageInput, messages: string[]) =>
  new Promise<operationsCreateMessageMutation$data>((resolve, reject) => {
    commitMutation<operationsCreateMessageMutation>(environment, {
      mutation: createMessageMutation,
      variables: { input, messages },
      updater: (store) => placeGroup(store, store.getRootField("createMessage")),
      onCompleted: (data, errors) => (errors ? reject(errors[0]) : resolve(data)),
      onError: reject,
    });
  });
// docs: end
