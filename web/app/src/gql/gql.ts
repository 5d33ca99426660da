/* eslint-disable */
import * as types from './graphql';
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';

/**
 * Map of all GraphQL operations in the project.
 *
 * This map has several performance disadvantages:
 * 1. It is not tree-shakeable, so it will include all operations in the project.
 * 2. It is not minifiable, so the string of a GraphQL query will be multiple times inside the bundle.
 * 3. It does not support dead code elimination, so it will add unused operations.
 *
 * Therefore it is highly recommended to use the babel or swc plugin for production.
 * Learn more about it here: https://the-guild.dev/graphql/codegen/plugins/presets/preset-client#reducing-bundle-size
 */
type Documents = {
    "\n  fragment UserParts on User {\n    id\n    uuid\n    handle\n    displayName\n  }\n": typeof types.UserPartsFragmentDoc,
    "\n  fragment MessageParts on Message {\n    id\n    uuid\n    body\n    createdAt\n    sender {\n      ...UserParts\n    }\n  }\n": typeof types.MessagePartsFragmentDoc,
    "\n  fragment MessageGroupParts on MessageGroup {\n    id\n    uuid\n    version\n    lastMessageAt\n    unreadCount\n    lastMessage {\n      ...MessageParts\n    }\n    otherUser {\n      ...UserParts\n    }\n  }\n": typeof types.MessageGroupPartsFragmentDoc,
    "\n  fragment MessagePage on MessageConnection {\n    edges {\n      cursor\n      node {\n        ...MessageParts\n      }\n    }\n    pageInfo {\n      hasPreviousPage\n      hasNextPage\n      startCursor\n      endCursor\n    }\n  }\n": typeof types.MessagePageFragmentDoc,
    "\n  fragment MessageGroupPage on MessageGroupConnection {\n    edges {\n      cursor\n      node {\n        ...MessageGroupParts\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n": typeof types.MessageGroupPageFragmentDoc,
    "\n  query Start($groups: Int!, $messageGroupUuid: UUID!, $showsGroup: Boolean!, $messages: Int!) {\n    eventCursor\n    viewer {\n      ...UserParts\n    }\n    unreadMessageGroupCount\n    messageGroups(first: $groups) {\n      ...MessageGroupPage\n    }\n    messageGroup(uuid: $messageGroupUuid) @include(if: $showsGroup) {\n      ...MessageGroupParts\n      messages(last: $messages) {\n        ...MessagePage\n      }\n    }\n  }\n": typeof types.StartDocument,
    "\n  query MessageGroups($first: Int!, $after: String) {\n    messageGroups(first: $first, after: $after) {\n      ...MessageGroupPage\n    }\n  }\n": typeof types.MessageGroupsDocument,
    "\n  query UnreadMessageGroupCount {\n    unreadMessageGroupCount\n  }\n": typeof types.UnreadMessageGroupCountDocument,
    "\n  query MessageGroup($uuid: UUID!, $first: Int, $last: Int, $before: String, $after: String) {\n    messageGroup(uuid: $uuid) {\n      ...MessageGroupParts\n      messages(first: $first, last: $last, before: $before, after: $after) {\n        ...MessagePage\n      }\n    }\n  }\n": typeof types.MessageGroupDocument,
    "\n  query Receiver($handle: String!) {\n    user(handle: $handle) {\n      ...UserParts\n      messageGroup {\n        id\n        uuid\n      }\n    }\n  }\n": typeof types.ReceiverDocument,
    "\n  mutation CreateMessage($input: CreateMessageInput!) {\n    createMessage(input: $input) {\n      __typename\n      ... on CreateMessageSuccess {\n        messageEdge {\n          cursor\n          node {\n            ...MessageParts\n          }\n        }\n        messageGroupEdge {\n          cursor\n          node {\n            ...MessageGroupParts\n          }\n        }\n      }\n      ... on Problem {\n        message\n      }\n      ... on InvalidMessageBody {\n        length\n        maxLength\n      }\n    }\n  }\n": typeof types.CreateMessageDocument,
    "\n  mutation MarkMessageGroupRead($input: MarkMessageGroupReadInput!) {\n    markMessageGroupRead(input: $input) {\n      __typename\n      ... on MarkMessageGroupReadSuccess {\n        messageGroup {\n          ...MessageGroupParts\n        }\n        unreadMessageGroupCount\n      }\n      ... on Problem {\n        message\n      }\n    }\n  }\n": typeof types.MarkMessageGroupReadDocument,
    "\n  subscription MessageCreated($after: String) {\n    messageCreated(after: $after) {\n      cursor\n      idempotencyKey\n      messageEdge {\n        cursor\n        node {\n          ...MessageParts\n        }\n      }\n      messageGroupEdge {\n        cursor\n        node {\n          ...MessageGroupParts\n        }\n      }\n    }\n  }\n": typeof types.MessageCreatedDocument,
    "\n  subscription MessageGroupUpdated {\n    messageGroupUpdated {\n      version\n      messageGroup {\n        ...MessageGroupParts\n      }\n      unreadMessageGroupCount\n    }\n  }\n": typeof types.MessageGroupUpdatedDocument,
};
const documents: Documents = {
    "\n  fragment UserParts on User {\n    id\n    uuid\n    handle\n    displayName\n  }\n": types.UserPartsFragmentDoc,
    "\n  fragment MessageParts on Message {\n    id\n    uuid\n    body\n    createdAt\n    sender {\n      ...UserParts\n    }\n  }\n": types.MessagePartsFragmentDoc,
    "\n  fragment MessageGroupParts on MessageGroup {\n    id\n    uuid\n    version\n    lastMessageAt\n    unreadCount\n    lastMessage {\n      ...MessageParts\n    }\n    otherUser {\n      ...UserParts\n    }\n  }\n": types.MessageGroupPartsFragmentDoc,
    "\n  fragment MessagePage on MessageConnection {\n    edges {\n      cursor\n      node {\n        ...MessageParts\n      }\n    }\n    pageInfo {\n      hasPreviousPage\n      hasNextPage\n      startCursor\n      endCursor\n    }\n  }\n": types.MessagePageFragmentDoc,
    "\n  fragment MessageGroupPage on MessageGroupConnection {\n    edges {\n      cursor\n      node {\n        ...MessageGroupParts\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n": types.MessageGroupPageFragmentDoc,
    "\n  query Start($groups: Int!, $messageGroupUuid: UUID!, $showsGroup: Boolean!, $messages: Int!) {\n    eventCursor\n    viewer {\n      ...UserParts\n    }\n    unreadMessageGroupCount\n    messageGroups(first: $groups) {\n      ...MessageGroupPage\n    }\n    messageGroup(uuid: $messageGroupUuid) @include(if: $showsGroup) {\n      ...MessageGroupParts\n      messages(last: $messages) {\n        ...MessagePage\n      }\n    }\n  }\n": types.StartDocument,
    "\n  query MessageGroups($first: Int!, $after: String) {\n    messageGroups(first: $first, after: $after) {\n      ...MessageGroupPage\n    }\n  }\n": types.MessageGroupsDocument,
    "\n  query UnreadMessageGroupCount {\n    unreadMessageGroupCount\n  }\n": types.UnreadMessageGroupCountDocument,
    "\n  query MessageGroup($uuid: UUID!, $first: Int, $last: Int, $before: String, $after: String) {\n    messageGroup(uuid: $uuid) {\n      ...MessageGroupParts\n      messages(first: $first, last: $last, before: $before, after: $after) {\n        ...MessagePage\n      }\n    }\n  }\n": types.MessageGroupDocument,
    "\n  query Receiver($handle: String!) {\n    user(handle: $handle) {\n      ...UserParts\n      messageGroup {\n        id\n        uuid\n      }\n    }\n  }\n": types.ReceiverDocument,
    "\n  mutation CreateMessage($input: CreateMessageInput!) {\n    createMessage(input: $input) {\n      __typename\n      ... on CreateMessageSuccess {\n        messageEdge {\n          cursor\n          node {\n            ...MessageParts\n          }\n        }\n        messageGroupEdge {\n          cursor\n          node {\n            ...MessageGroupParts\n          }\n        }\n      }\n      ... on Problem {\n        message\n      }\n      ... on InvalidMessageBody {\n        length\n        maxLength\n      }\n    }\n  }\n": types.CreateMessageDocument,
    "\n  mutation MarkMessageGroupRead($input: MarkMessageGroupReadInput!) {\n    markMessageGroupRead(input: $input) {\n      __typename\n      ... on MarkMessageGroupReadSuccess {\n        messageGroup {\n          ...MessageGroupParts\n        }\n        unreadMessageGroupCount\n      }\n      ... on Problem {\n        message\n      }\n    }\n  }\n": types.MarkMessageGroupReadDocument,
    "\n  subscription MessageCreated($after: String) {\n    messageCreated(after: $after) {\n      cursor\n      idempotencyKey\n      messageEdge {\n        cursor\n        node {\n          ...MessageParts\n        }\n      }\n      messageGroupEdge {\n        cursor\n        node {\n          ...MessageGroupParts\n        }\n      }\n    }\n  }\n": types.MessageCreatedDocument,
    "\n  subscription MessageGroupUpdated {\n    messageGroupUpdated {\n      version\n      messageGroup {\n        ...MessageGroupParts\n      }\n      unreadMessageGroupCount\n    }\n  }\n": types.MessageGroupUpdatedDocument,
};

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 *
 *
 * @example
 * ```ts
 * const query = graphql(`query GetUser($id: ID!) { user(id: $id) { name } }`);
 * ```
 *
 * The query argument is unknown!
 * Please regenerate the types.
 */
export function graphql(source: string): unknown;

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  fragment UserParts on User {\n    id\n    uuid\n    handle\n    displayName\n  }\n"): (typeof documents)["\n  fragment UserParts on User {\n    id\n    uuid\n    handle\n    displayName\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  fragment MessageParts on Message {\n    id\n    uuid\n    body\n    createdAt\n    sender {\n      ...UserParts\n    }\n  }\n"): (typeof documents)["\n  fragment MessageParts on Message {\n    id\n    uuid\n    body\n    createdAt\n    sender {\n      ...UserParts\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  fragment MessageGroupParts on MessageGroup {\n    id\n    uuid\n    version\n    lastMessageAt\n    unreadCount\n    lastMessage {\n      ...MessageParts\n    }\n    otherUser {\n      ...UserParts\n    }\n  }\n"): (typeof documents)["\n  fragment MessageGroupParts on MessageGroup {\n    id\n    uuid\n    version\n    lastMessageAt\n    unreadCount\n    lastMessage {\n      ...MessageParts\n    }\n    otherUser {\n      ...UserParts\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  fragment MessagePage on MessageConnection {\n    edges {\n      cursor\n      node {\n        ...MessageParts\n      }\n    }\n    pageInfo {\n      hasPreviousPage\n      hasNextPage\n      startCursor\n      endCursor\n    }\n  }\n"): (typeof documents)["\n  fragment MessagePage on MessageConnection {\n    edges {\n      cursor\n      node {\n        ...MessageParts\n      }\n    }\n    pageInfo {\n      hasPreviousPage\n      hasNextPage\n      startCursor\n      endCursor\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  fragment MessageGroupPage on MessageGroupConnection {\n    edges {\n      cursor\n      node {\n        ...MessageGroupParts\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n"): (typeof documents)["\n  fragment MessageGroupPage on MessageGroupConnection {\n    edges {\n      cursor\n      node {\n        ...MessageGroupParts\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query Start($groups: Int!, $messageGroupUuid: UUID!, $showsGroup: Boolean!, $messages: Int!) {\n    eventCursor\n    viewer {\n      ...UserParts\n    }\n    unreadMessageGroupCount\n    messageGroups(first: $groups) {\n      ...MessageGroupPage\n    }\n    messageGroup(uuid: $messageGroupUuid) @include(if: $showsGroup) {\n      ...MessageGroupParts\n      messages(last: $messages) {\n        ...MessagePage\n      }\n    }\n  }\n"): (typeof documents)["\n  query Start($groups: Int!, $messageGroupUuid: UUID!, $showsGroup: Boolean!, $messages: Int!) {\n    eventCursor\n    viewer {\n      ...UserParts\n    }\n    unreadMessageGroupCount\n    messageGroups(first: $groups) {\n      ...MessageGroupPage\n    }\n    messageGroup(uuid: $messageGroupUuid) @include(if: $showsGroup) {\n      ...MessageGroupParts\n      messages(last: $messages) {\n        ...MessagePage\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query MessageGroups($first: Int!, $after: String) {\n    messageGroups(first: $first, after: $after) {\n      ...MessageGroupPage\n    }\n  }\n"): (typeof documents)["\n  query MessageGroups($first: Int!, $after: String) {\n    messageGroups(first: $first, after: $after) {\n      ...MessageGroupPage\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query UnreadMessageGroupCount {\n    unreadMessageGroupCount\n  }\n"): (typeof documents)["\n  query UnreadMessageGroupCount {\n    unreadMessageGroupCount\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query MessageGroup($uuid: UUID!, $first: Int, $last: Int, $before: String, $after: String) {\n    messageGroup(uuid: $uuid) {\n      ...MessageGroupParts\n      messages(first: $first, last: $last, before: $before, after: $after) {\n        ...MessagePage\n      }\n    }\n  }\n"): (typeof documents)["\n  query MessageGroup($uuid: UUID!, $first: Int, $last: Int, $before: String, $after: String) {\n    messageGroup(uuid: $uuid) {\n      ...MessageGroupParts\n      messages(first: $first, last: $last, before: $before, after: $after) {\n        ...MessagePage\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query Receiver($handle: String!) {\n    user(handle: $handle) {\n      ...UserParts\n      messageGroup {\n        id\n        uuid\n      }\n    }\n  }\n"): (typeof documents)["\n  query Receiver($handle: String!) {\n    user(handle: $handle) {\n      ...UserParts\n      messageGroup {\n        id\n        uuid\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation CreateMessage($input: CreateMessageInput!) {\n    createMessage(input: $input) {\n      __typename\n      ... on CreateMessageSuccess {\n        messageEdge {\n          cursor\n          node {\n            ...MessageParts\n          }\n        }\n        messageGroupEdge {\n          cursor\n          node {\n            ...MessageGroupParts\n          }\n        }\n      }\n      ... on Problem {\n        message\n      }\n      ... on InvalidMessageBody {\n        length\n        maxLength\n      }\n    }\n  }\n"): (typeof documents)["\n  mutation CreateMessage($input: CreateMessageInput!) {\n    createMessage(input: $input) {\n      __typename\n      ... on CreateMessageSuccess {\n        messageEdge {\n          cursor\n          node {\n            ...MessageParts\n          }\n        }\n        messageGroupEdge {\n          cursor\n          node {\n            ...MessageGroupParts\n          }\n        }\n      }\n      ... on Problem {\n        message\n      }\n      ... on InvalidMessageBody {\n        length\n        maxLength\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation MarkMessageGroupRead($input: MarkMessageGroupReadInput!) {\n    markMessageGroupRead(input: $input) {\n      __typename\n      ... on MarkMessageGroupReadSuccess {\n        messageGroup {\n          ...MessageGroupParts\n        }\n        unreadMessageGroupCount\n      }\n      ... on Problem {\n        message\n      }\n    }\n  }\n"): (typeof documents)["\n  mutation MarkMessageGroupRead($input: MarkMessageGroupReadInput!) {\n    markMessageGroupRead(input: $input) {\n      __typename\n      ... on MarkMessageGroupReadSuccess {\n        messageGroup {\n          ...MessageGroupParts\n        }\n        unreadMessageGroupCount\n      }\n      ... on Problem {\n        message\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  subscription MessageCreated($after: String) {\n    messageCreated(after: $after) {\n      cursor\n      idempotencyKey\n      messageEdge {\n        cursor\n        node {\n          ...MessageParts\n        }\n      }\n      messageGroupEdge {\n        cursor\n        node {\n          ...MessageGroupParts\n        }\n      }\n    }\n  }\n"): (typeof documents)["\n  subscription MessageCreated($after: String) {\n    messageCreated(after: $after) {\n      cursor\n      idempotencyKey\n      messageEdge {\n        cursor\n        node {\n          ...MessageParts\n        }\n      }\n      messageGroupEdge {\n        cursor\n        node {\n          ...MessageGroupParts\n        }\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  subscription MessageGroupUpdated {\n    messageGroupUpdated {\n      version\n      messageGroup {\n        ...MessageGroupParts\n      }\n      unreadMessageGroupCount\n    }\n  }\n"): (typeof documents)["\n  subscription MessageGroupUpdated {\n    messageGroupUpdated {\n      version\n      messageGroup {\n        ...MessageGroupParts\n      }\n      unreadMessageGroupCount\n    }\n  }\n"];

export function graphql(source: string) {
  return (documents as any)[source] ?? {};
}

export type DocumentType<TDocumentNode extends DocumentNode<any, any>> = TDocumentNode extends DocumentNode<  infer TType,  any>  ? TType  : never;