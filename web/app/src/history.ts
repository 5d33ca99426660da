// The part of a long group's messages that is in the cache.
import { type ApolloCache, type ApolloClient, InMemoryCache } from "@apollo/client";
import { MessageGroup } from "./operations";
import { MESSAGES_PAGE } from "./start";

// Maximum number of messages of a group in the cache, so that its size does not grow while a user scrolls.
const KEPT = 500;

// Number of removed pages after which Apollo Client's memoized results are released. By default it keeps up to 50,000
// objects that are no longer in the cache.
const RESET_EVERY = 10;
let trimmed = 0;

interface Group {
  __typename?: "MessageGroup";
  id: string;
}
interface Range {
  edges: readonly { cursor: string }[];
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };
}

// Removes messages from the end of the range from which the user scrolls away. They are fetched again when the user
// scrolls back.
export function trimHistory(cache: ApolloCache, group: Group & { messages: Range }, end: "newest" | "oldest"): void {
  const id = cache.identify({ ...group });
  if (!id || group.messages.edges.length <= KEPT) return;
  cache.modify<{ messages: Range }>({
    id,
    fields: {
      messages(range) {
        if (!("edges" in range)) return range;
        if (end === "newest") {
          const edges = range.edges.slice(0, KEPT);
          return { ...range, edges, pageInfo: { ...range.pageInfo, hasNextPage: true, endCursor: edges.at(-1)?.cursor ?? null } };
        }
        const edges = range.edges.slice(-KEPT);
        return { ...range, edges, pageInfo: { ...range.pageInfo, hasPreviousPage: true, startCursor: edges[0]?.cursor ?? null } };
      },
    },
  });
  trimmed += 1;
  if (cache instanceof InMemoryCache) cache.gc({ resetResultCache: trimmed % RESET_EVERY === 0 });
}

// Replaces the range by the newest page.
export async function loadNewest(client: ApolloClient, { id, uuid }: Group & { uuid: string }): Promise<void> {
  const variables = { uuid, last: MESSAGES_PAGE };
  const { data } = await client.query({ query: MessageGroup, variables, fetchPolicy: "no-cache" });
  if (!data) return;
  client.cache.batch({
    update(cache) {
      cache.evict({ id: cache.identify({ __typename: "MessageGroup", id }), fieldName: "messages" });
      cache.writeQuery({ query: MessageGroup, variables, data });
    },
  });
  client.cache.gc();
}
