// docs: relay-reread
import { fetchQuery, type Environment } from "relay-runtime";
import { groupQuery, groupsQuery, unreadQuery } from "./operations";

// What a subscription cannot know: all that is shown, or only what changes without a message. Of lists it is the newest
// page, which takes the place of all that were shown, since it is asked for without a cursor: what lies behind it comes
// back by scrolling.
export function readAgain(environment: Environment, subscription: string, shownGroup?: string) {
  const again = [fetchQuery(environment, groupsQuery, { first: 1 }), fetchQuery(environment, unreadQuery, {})];
  if (subscription === "operationsMessageCreatedSubscription" && shownGroup) {
    again.push(fetchQuery(environment, groupQuery, { uuid: shownGroup, last: 2 }));
  }
  for (const query of again) query.subscribe({});
}
// docs: end
