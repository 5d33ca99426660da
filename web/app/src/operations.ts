// Every operation of the app. The build writes them as a trusted-documents manifest.
import { graphql } from "./generated";

graphql(`
  fragment UserParts on User {
    id
    uuid
    handle
    displayName
  }
`);

graphql(`
  fragment MessageParts on Message {
    id
    uuid
    body
    createdAt
    sender {
      ...UserParts
    }
  }
`);

graphql(`
  fragment MessageGroupParts on MessageGroup {
    id
    uuid
    lastMessageAt
    unreadCount
    lastMessage {
      ...MessageParts
    }
    otherUser {
      ...UserParts
    }
  }
`);

export const Messages = graphql(`
  query Messages($first: Int!) {
    viewer {
      ...UserParts
    }
    unreadMessageGroupCount
    messageGroups(first: $first) {
      edges {
        cursor
        node {
          ...MessageGroupParts
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);
