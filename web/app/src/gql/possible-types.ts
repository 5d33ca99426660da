
      export type PossibleTypesResultData = {
  "possibleTypes": {
    "CreateMessageResult": [
      "CannotMessageYourself",
      "CreateMessageSuccess",
      "InvalidMessageBody",
      "MessageGroupNotFound",
      "ReceiverNotFound"
    ],
    "MarkMessageGroupReadResult": [
      "MarkMessageGroupReadSuccess",
      "MessageGroupNotFound"
    ],
    "Node": [
      "Message",
      "MessageGroup",
      "User"
    ],
    "Problem": [
      "CannotMessageYourself",
      "InvalidMessageBody",
      "MessageGroupNotFound",
      "ReceiverNotFound"
    ]
  }
};
      const result: PossibleTypesResultData = {
  "possibleTypes": {
    "CreateMessageResult": [
      "CannotMessageYourself",
      "CreateMessageSuccess",
      "InvalidMessageBody",
      "MessageGroupNotFound",
      "ReceiverNotFound"
    ],
    "MarkMessageGroupReadResult": [
      "MarkMessageGroupReadSuccess",
      "MessageGroupNotFound"
    ],
    "Node": [
      "Message",
      "MessageGroup",
      "User"
    ],
    "Problem": [
      "CannotMessageYourself",
      "InvalidMessageBody",
      "MessageGroupNotFound",
      "ReceiverNotFound"
    ]
  }
};
      export default result;
    