import { useEffect, useState, useSyncExternalStore } from "react";
import { useQuery } from "@apollo/client/react";
import { UnreadMessageGroupCount } from "./operations";

// The current time, updated every half minute.
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 30_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

const attentionEvents = ["visibilitychange", "focus", "blur"] as const;
const subscribeToAttention = (listener: () => void) => {
  for (const name of attentionEvents) window.addEventListener(name, listener, true);
  return () => {
    for (const name of attentionEvents) window.removeEventListener(name, listener, true);
  };
};
// Whether the window is visible and has the focus.
export const useAttention = () =>
  useSyncExternalStore(subscribeToAttention, () => document.visibilityState === "visible" && document.hasFocus());

// The title of the window: the number of groups with unread messages, and the name of the open page.
export function useTitle(name: string | null): void {
  const { data } = useQuery(UnreadMessageGroupCount);
  const unread = data?.unreadMessageGroupCount ?? 0;
  useEffect(() => {
    const count = unread > 0 ? `(${unread >= 100 ? "99+" : unread}) ` : "";
    document.title = `${count}${name ? `${name} · ` : ""}Messages`;
  }, [unread, name]);
}
