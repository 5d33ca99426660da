const NONE = "00000000-0000-0000-0000-000000000000";

// The initial tabs: the six operations of a chat app.
export const examples = ({
  uuid: messageGroupUuid = NONE,
  cursor = "the cursor of a message's edge",
  receiver: receiverHandle = "tove",
} = {}) => [
  {
    query: `# The viewer's message groups, most recently active first.
query MessageGroups {
  messageGroups(first: 20) {
    edges {
      node {
        uuid
        otherUser { handle displayName }
        lastMessage { body createdAt }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`,
  },
  {
    query: `# The newest messages of a group, oldest first.
# To load earlier messages, set before to the startCursor of this page.
query Messages($messageGroupUuid: UUID!, $before: String) {
  messages(messageGroupUuid: $messageGroupUuid, last: 20, before: $before) {
    edges {
      cursor
      node { uuid body createdAt sender { handle } }
    }
    pageInfo { hasPreviousPage startCursor }
  }
}
`,
    variables: JSON.stringify({ messageGroupUuid }, null, 2),
  },
  {
    query: `# Sends a message to an existing group.
mutation CreateMessageInGroup($messageGroupUuid: UUID!, $body: String!) {
  createMessage(input: {to: {messageGroupUuid: $messageGroupUuid}, body: $body}) {
    ... on CreateMessageSuccess {
      messageEdge { cursor node { uuid createdAt } }
    }
    ... on Problem { __typename message }
  }
}
`,
    variables: JSON.stringify({ messageGroupUuid, body: "Hello from GraphiQL" }, null, 2),
  },
  {
    query: `# Sends a message to a user, in the existing group or in a new one.
mutation CreateMessageTo($receiverHandle: String!, $body: String!) {
  createMessage(input: {to: {receiverHandle: $receiverHandle}, body: $body}) {
    ... on CreateMessageSuccess {
      messageGroupEdge { node { uuid otherUser { displayName } } }
    }
    ... on Problem { __typename message }
  }
}
`,
    variables: JSON.stringify({ receiverHandle, body: "Hello, we have not met" }, null, 2),
  },
  {
    query: `# New messages of all groups. Run it, and send a message as another user in a second window.
# To resume, set after to the cursor of the last event.
subscription MessageCreated($after: String) {
  messageCreated(after: $after) {
    cursor
    messageEdge { cursor node { uuid body createdAt sender { handle } } }
    messageGroupEdge { node { uuid unreadCount } }
  }
}
`,
  },
  {
    query: `# Marks the messages of a group as read, up to the message with this cursor.
mutation MarkMessageGroupRead($messageGroupUuid: UUID!, $upTo: String!) {
  markMessageGroupRead(input: {messageGroupUuid: $messageGroupUuid, upTo: $upTo}) {
    ... on MarkMessageGroupReadSuccess {
      messageGroup { uuid unreadCount }
      unreadMessageGroupCount
    }
    ... on Problem { __typename message }
  }
}
`,
    variables: JSON.stringify({ messageGroupUuid, upTo: cursor }, null, 2),
  },
];
