// Texts of messages: characters, links, initials.

// Maximum number of Unicode characters of a message, as in the schema.
export const MAX_LENGTH = 1024;

// The server counts Unicode characters, not UTF-16 code units.
export const lengthOf = (text: string) => [...text].length;

export interface TextPart {
  text: string;
  // The URL, if this part is a link.
  href?: string;
}

const LINK = /\bhttps?:\/\/[^\s<>"]+/gi;

// Removes punctuation of the sentence from the end of a URL. A closing bracket belongs to the URL only if the URL contains
// its opening bracket.
function trimmedLink(link: string): string {
  const trimmed = link.replace(/[.,:;!?'…]+$/u, "");
  const last = trimmed.at(-1);
  const opening = last === ")" ? "(" : last === "]" ? "[" : undefined;
  if (opening && !trimmed.includes(opening)) return trimmedLink(trimmed.slice(0, -1));
  return trimmed;
}

export function partsOf(body: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of body.matchAll(LINK)) {
    const link = trimmedLink(match[0]);
    if (!URL.canParse(link)) continue;
    if (match.index > end) parts.push({ text: body.slice(end, match.index) });
    parts.push({ text: link, href: link });
    end = match.index + link.length;
  }
  if (end < body.length) parts.push({ text: body.slice(end) });
  return parts;
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
const first = (word: string | undefined) => (word ? ([...graphemes.segment(word)][0]?.segment ?? "") : "");

// "Andrew Brown" is AB, "luu" is L.
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/u);
  return (first(words[0]) + (words.length > 1 ? first(words.at(-1)) : "")).toUpperCase();
}
