/** An error of a response, with what the server says about it. */
export interface ErrorLike {
  message: string;
  extensions?: Readonly<Record<string, unknown>>;
}

/** The code of the first error, when to try again, and whether the operation may have been executed. */
export function codeOf(errors: readonly ErrorLike[] | undefined) {
  const { code, retryAfterMs, outcome } = errors?.[0]?.extensions ?? {};
  return {
    code: typeof code === "string" ? code : undefined,
    retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : undefined,
    mayBeExecuted: outcome === "UNKNOWN",
  };
}
