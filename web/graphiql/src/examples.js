// What the tabs hold at first: the four things that one does with messages.
export const examples = (messageGroupUuid = "00000000-0000-0000-0000-000000000000") => [
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
    query: `# The newest messages of a group, oldest to newest.
# For those before them, ask with before: the startCursor of this page.
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
    query: `# A message to a group that is there already.
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
    query: `# A message to somebody, whether or not you have written to each other before.
mutation CreateMessageTo($receiverHandle: String!, $body: String!) {
  createMessage(input: {to: {receiverHandle: $receiverHandle}, body: $body}) {
    ... on CreateMessageSuccess {
      messageGroupEdge { node { uuid otherUser { displayName } } }
    }
    ... on Problem { __typename message }
  }
}
`,
    variables: JSON.stringify({ receiverHandle: "tove", body: "Hello, we have not met" }, null, 2),
  },
];
