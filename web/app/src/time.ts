// Times as text, formatted by Intl in English, the language of the pages, and in the user's time zone.
const LOCALE = "en-GB";
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

const format = (options: Intl.DateTimeFormatOptions) => {
  const formatter = new Intl.DateTimeFormat(LOCALE, options);
  return (date: Date) => formatter.format(date);
};
const clock = format({ hour: "2-digit", minute: "2-digit" });
const weekday = format({ weekday: "short" });
const dayAndMonth = format({ day: "numeric", month: "short" });
const dayMonthYear = format({ day: "numeric", month: "short", year: "numeric" });
const longDay = format({ weekday: "long", day: "numeric", month: "long" });
const longDayWithYear = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const full = format({ dateStyle: "full", timeStyle: "medium" });
const minutes = new Intl.NumberFormat(LOCALE, { style: "unit", unit: "minute" });

const startOfDay = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
// Days between two dates of the calendar; rounded, since a day can have 23 or 25 hours.
const daysBetween = (earlier: Date, later: Date) => Math.round((startOfDay(later) - startOfDay(earlier)) / DAY);

export const isSameDay = (a: string, b: string) => startOfDay(new Date(a)) === startOfDay(new Date(b));

// In the list of message groups: "now", "12 min", "14:05", "Tue", "3 Nov", "3 Nov 2025".
export function shortTime(iso: string, now: number): string {
  const date = new Date(iso);
  const age = now - date.getTime();
  const today = new Date(now);
  // The server's clock can be ahead of the client's clock.
  if (Math.abs(age) < MINUTE) return "now";
  if (age > 0 && age < 60 * MINUTE) return minutes.format(Math.floor(age / MINUTE));
  const days = daysBetween(date, today);
  if (days === 0) return clock(date);
  if (days > 0 && days < 7) return weekday(date);
  return date.getFullYear() === today.getFullYear() ? dayAndMonth(date) : dayMonthYear(date);
}

export const clockTime = (iso: string) => clock(new Date(iso));
export const fullTime = (iso: string) => full(new Date(iso));

// Between messages: "Today", "Yesterday", "Tuesday 3 November".
export function dayName(iso: string, now: number): string {
  const date = new Date(iso);
  const today = new Date(now);
  const days = daysBetween(date, today);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.getFullYear() === today.getFullYear() ? longDay(date) : longDayWithYear(date);
}
