// docs: relay-reread
import { fetchQuery, type Environment } from "relay-runtime";
import { groupQuery, groupsQuery, unreadQuery } from "./operations";

// Refetches the data that may have changed before the subscription started: for `messageCreated` all displayed data,
// otherwise only the data that changes without a new message. Of each list it fetches the newest page without a cursor.
// That page replaces all displayed pages; scrolling loads the older pages again.
export function readAgain(environment: Environment, subscription: string, shownGroup?: string) {
  const again = [fetchQuery(environment, groupsQuery, { first: 1 }), fetchQuery(environment, unreadQuery, {})];
  if (subscription === "operationsMessageCreatedSubscription" && shownGroup) {
    again.push(fetchQuery(environment, groupQuery, { uuid: shownGroup, last: 2 }));
  }
  for (const query of again) query.subscribe({});
}
// docs: end
