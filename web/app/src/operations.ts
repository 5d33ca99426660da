// Every operation of the app. The build writes them as a trusted-documents manifest.
import { graphql } from "./gql";

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
    version
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

graphql(`
  fragment MessagePage on MessageConnection {
    edges {
      cursor
      node {
        ...MessageParts
      }
    }
    pageInfo {
      hasPreviousPage
      hasNextPage
      startCursor
      endCursor
    }
  }
`);

graphql(`
  fragment MessageGroupPage on MessageGroupConnection {
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
`);

// Fetches all data of the first screen in one request. A subscription from this cursor delivers every message that is
// committed after the server received the request.
export const Start = graphql(`
  query Start($groups: Int!, $messageGroupUuid: UUID!, $showsGroup: Boolean!, $messages: Int!) {
    eventCursor
    viewer {
      ...UserParts
    }
    unreadMessageGroupCount
    messageGroups(first: $groups) {
      ...MessageGroupPage
    }
    messageGroup(uuid: $messageGroupUuid) @include(if: $showsGroup) {
      ...MessageGroupParts
      messages(last: $messages) {
        ...MessagePage
      }
    }
  }
`);

export const MessageGroups = graphql(`
  query MessageGroups($first: Int!, $after: String) {
    messageGroups(first: $first, after: $after) {
      ...MessageGroupPage
    }
  }
`);

export const UnreadMessageGroupCount = graphql(`
  query UnreadMessageGroupCount {
    unreadMessageGroupCount
  }
`);

export const MessageGroup = graphql(`
  query MessageGroup($uuid: UUID!, $first: Int, $last: Int, $before: String, $after: String) {
    messageGroup(uuid: $uuid) {
      ...MessageGroupParts
      messages(first: $first, last: $last, before: $before, after: $after) {
        ...MessagePage
      }
    }
  }
`);

export const Receiver = graphql(`
  query Receiver($handle: String!) {
    user(handle: $handle) {
      ...UserParts
      messageGroup {
        id
        uuid
      }
    }
  }
`);

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

export const MarkMessageGroupRead = graphql(`
  mutation MarkMessageGroupRead($input: MarkMessageGroupReadInput!) {
    markMessageGroupRead(input: $input) {
      __typename
      ... on MarkMessageGroupReadSuccess {
        messageGroup {
          ...MessageGroupParts
        }
        unreadMessageGroupCount
      }
      ... on Problem {
        message
      }
    }
  }
`);

export const MessageCreated = graphql(`
  subscription MessageCreated($after: String) {
    messageCreated(after: $after) {
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
