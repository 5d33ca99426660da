import { initialsOf } from "../text";
import styles from "./Avatar.module.css";

const COLOURS = 6;

// The same user has the same colour everywhere.
function colourOf(uuid: string): number {
  let sum = 0;
  for (const character of uuid) sum = (sum * 31 + character.charCodeAt(0)) % 997;
  return sum % COLOURS;
}

interface Props {
  user: { uuid: string; displayName: string };
  size?: "small" | "medium" | "large";
}

export function Avatar({ user, size = "medium" }: Props) {
  return (
    <span className={styles.avatar} data-colour={colourOf(user.uuid)} data-size={size} aria-hidden="true">
      {initialsOf(user.displayName)}
    </span>
  );
}
