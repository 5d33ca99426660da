// The operations of a chat app's pages, with Relay's directives for connections.
// docs: relay-groups
import { graphql } from "relay-runtime";

export const groupsQuery = graphql`
  query operationsGroupsQuery($first: Int!) {
    eventCursor
    viewer {
      handle
      displayName
    }
    unreadMessageGroupCount
    ...operations_groups @arguments(first: $first)
  }
`;

export const groupsFragment = graphql`
  fragment operations_groups on Query
  @refetchable(queryName: "operationsGroupsPaginationQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" }) {
    messageGroups(first: $first, after: $after) @connection(key: "operations_messageGroups") {
      __id
      edges {
        node {
          uuid
          version
          lastMessageAt
          unreadCount
          lastMessage {
            body
          }
          otherUser {
            handle
          }
        }
      }
    }
  }
`;
// docs: end

// docs: relay-group
export const groupQuery = graphql`
  query operationsGroupQuery($uuid: UUID!, $last: Int!) {
    messageGroup(uuid: $uuid) {
      uuid
      version
      lastMessageAt
      unreadCount
      lastMessage {
        body
      }
      ...operations_messages @arguments(last: $last)
    }
  }
`;

// Loads older messages: the pagination query fetches the group by `node(id:)`.
export const messagesFragment = graphql`
  fragment operations_messages on MessageGroup
  @refetchable(queryName: "operationsMessagesPaginationQuery")
  @argumentDefinitions(last: { type: "Int", defaultValue: 20 }, before: { type: "String" }) {
    messages(last: $last, before: $before) @connection(key: "operations_messages") {
      __id
      edges {
        cursor
        node {
          body
          createdAt
          sender {
            handle
          }
        }
      }
    }
  }
`;
// docs: end

// docs: relay-send
export const createMessageMutation = graphql`
  mutation operationsCreateMessageMutation($input: CreateMessageInput!) {
    createMessage(input: $input) {
      __typename
      ... on CreateMessageSuccess {
        messageEdge {
          cursor
          node {
            body
            createdAt
            sender {
              handle
            }
          }
        }
        messageGroupEdge {
          cursor
          node {
            uuid
            version
            lastMessageAt
            unreadCount
            lastMessage {
              body
            }
            otherUser {
              handle
            }
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
`;
// docs: end

export const receiverQuery = graphql`
  query operationsReceiverQuery($handle: String!) {
    user(handle: $handle) {
      displayName
      messageGroup {
        uuid
      }
    }
  }
`;

// docs: relay-subscriptions
export const messageCreatedSubscription = graphql`
  subscription operationsMessageCreatedSubscription($after: String) {
    messageCreated(after: $after) {
      cursor
      idempotencyKey
      messageEdge {
        cursor
        node {
          body
          createdAt
          sender {
            handle
          }
        }
      }
      messageGroupEdge {
        cursor
        node {
          uuid
          version
          lastMessageAt
          unreadCount
          lastMessage {
            body
          }
          otherUser {
            handle
          }
        }
      }
    }
  }
`;

export const messageGroupUpdatedSubscription = graphql`
  subscription operationsMessageGroupUpdatedSubscription {
    messageGroupUpdated {
      version
      messageGroup {
        id
        version
        lastMessageAt
        unreadCount
        lastMessage {
          body
        }
      }
      unreadMessageGroupCount
    }
  }
`;
// docs: end

// docs: relay-unread
export const unreadQuery = graphql`
  query operationsUnreadQuery {
    unreadMessageGroupCount
  }
`;

export const markReadMutation = graphql`
  mutation operationsMarkReadMutation($input: MarkMessageGroupReadInput!) {
    markMessageGroupRead(input: $input) {
      __typename
      ... on MarkMessageGroupReadSuccess {
        messageGroup {
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
`;
// docs: end
