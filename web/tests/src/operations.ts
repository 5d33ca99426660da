// The operations of a chat app's pages.
// docs: fragments
import { graphql } from "./generated/index";

graphql(`
  fragment MessageParts on Message {
    id
    uuid
    body
    createdAt
    sender {
      id
      handle
      displayName
    }
  }
`);

graphql(`
  fragment MessageGroupParts on MessageGroup {
    id
    uuid
    version
    lastMessageAt
    unreadCount
    lastMessage {
      id
      body
    }
    otherUser {
      id
      handle
      displayName
    }
  }
`);

// docs: end

// docs: start
export const Start = graphql(`
  query Start($first: Int = 20) {
    eventCursor
    viewer {
      id
      handle
      displayName
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
// docs: end

// docs: groups
export const MessageGroups = graphql(`
  query MessageGroups($first: Int = 20, $after: String) {
    messageGroups(first: $first, after: $after) {
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
// docs: end

// docs: group
export const MessageGroup = graphql(`
  query MessageGroup($uuid: UUID!, $last: Int = 20, $before: String) {
    messageGroup(uuid: $uuid) {
      ...MessageGroupParts
      messages(last: $last, before: $before) {
        edges {
          cursor
          node {
            ...MessageParts
          }
        }
        pageInfo {
          hasPreviousPage
          startCursor
        }
      }
    }
  }
`);
// docs: end

// docs: receiver
export const Receiver = graphql(`
  query Receiver($handle: String!) {
    user(handle: $handle) {
      id
      handle
      displayName
      messageGroup {
        id
        uuid
      }
    }
  }
`);
// docs: end

// docs: send
export const CreateMessage = graphql(`
  mutation CreateMessage($input: CreateMessageInput!) {
    createMessage(input: $input) {
      __typename
      ... on CreateMessageSuccess {
        messageEdge {
          cursor
          node {
            ...MessageParts
          }
        }
        messageGroupEdge {
          cursor
          node {
            ...MessageGroupParts
          }
        }
      }
      ... on Problem {
        message
      }
      ... on InvalidMessageBody {
        length
        maxLength
      }
    }
  }
`);
// docs: end

// docs: unread
export const UnreadMessageGroupCount = graphql(`
  query UnreadMessageGroupCount {
    unreadMessageGroupCount
  }
`);

export const MarkMessageGroupRead = graphql(`
  mutation MarkMessageGroupRead($input: MarkMessageGroupReadInput!) {
    markMessageGroupRead(input: $input) {
      __typename
      ... on MarkMessageGroupReadSuccess {
        messageGroup {
          id
          version
          unreadCount
        }
        unreadMessageGroupCount
      }
      ... on Problem {
        message
      }
    }
  }
`);
// docs: end

// docs: subscriptions
export const MessageCreated = graphql(`
  subscription MessageCreated($messageGroupUuid: UUID, $after: String) {
    messageCreated(messageGroupUuid: $messageGroupUuid, after: $after) {
      cursor
      idempotencyKey
      messageEdge {
        cursor
        node {
          ...MessageParts
        }
      }
      messageGroupEdge {
        cursor
        node {
          ...MessageGroupParts
        }
      }
    }
  }
`);

export const MessageGroupUpdated = graphql(`
  subscription MessageGroupUpdated {
    messageGroupUpdated {
      version
      messageGroup {
        ...MessageGroupParts
      }
      unreadMessageGroupCount
    }
  }
`);
// docs: end
