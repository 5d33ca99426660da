// docs: relay-lists
import { ConnectionHandler, type RecordProxy, type RecordSourceProxy } from "relay-runtime";

const text = (edge: RecordProxy, field: string) => String(edge.getLinkedRecord("node")?.getValue(field));

// Moves the group to the top of the list, or below newer groups. `@prependEdge` does not move a group that is already
// in the list.
export function placeGroup(store: RecordSourceProxy, created?: RecordProxy | null) {
  const edge = created?.getLinkedRecord("messageGroupEdge");
  const group = edge?.getLinkedRecord("node");
  const groups = ConnectionHandler.getConnection(store.getRoot(), "operations_messageGroups");
  if (!edge || !group || !groups) return;
  ConnectionHandler.deleteNode(groups, group.getDataID());
  const moved = ConnectionHandler.createEdge(store, groups, group, "MessageGroupEdge");
  moved.copyFieldsFrom(edge);
  const others = groups.getLinkedRecords("edges") ?? [];
  const older = others.find((other) => text(other, "lastMessageAt") < text(edge, "lastMessageAt"));
  if (older || others.length === 0) {
    ConnectionHandler.insertEdgeBefore(groups, moved, older?.getValue("cursor") as string | undefined);
  } else {
    ConnectionHandler.insertEdgeAfter(groups, moved);
  }
}

// If the group is displayed, adds the message at its end, or before newer messages, unless the message is already
// there. An existing message whose `createdAt` is in the future precedes the new message.
export function placeMessage(store: RecordSourceProxy, created?: RecordProxy | null) {
  const edge = created?.getLinkedRecord("messageEdge");
  const message = edge?.getLinkedRecord("node");
  const group = created?.getLinkedRecord("messageGroupEdge")?.getLinkedRecord("node");
  const messages = group && ConnectionHandler.getConnection(group, "operations_messages");
  if (!edge || !message || !messages) return;
  const others = messages.getLinkedRecords("edges") ?? [];
  if (others.some((other) => other.getLinkedRecord("node")?.getDataID() === message.getDataID())) return;
  const placed = ConnectionHandler.createEdge(store, messages, message, "MessageEdge");
  placed.copyFieldsFrom(edge);
  const now = new Date().toISOString();
  const isNewer = (other: string) => other > text(edge, "createdAt") && other <= now;
  const newer = others.find((other) => isNewer(text(other, "createdAt")));
  if (newer) {
    ConnectionHandler.insertEdgeBefore(messages, placed, newer.getValue("cursor") as string);
  } else {
    ConnectionHandler.insertEdgeAfter(messages, placed);
  }
}
// docs: end
