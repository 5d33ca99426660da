// The configuration that the server returns at `/app/config.json`.

export interface Config {
  graphql: string;
  graphiql: string | null;
  // Whether the server executes only the documents of a manifest, by their IDs.
  trustedDocuments: boolean;
  signIn: {
    authority: string;
    clientId: string;
    scope: string;
    // The type of token that the API accepts.
    tokenUse: "access" | "id";
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

export function parseConfig(value: unknown): Config {
  const invalid = new Error("/app/config.json does not have the expected members.");
  if (!isRecord(value) || !isRecord(value.signIn)) throw invalid;
  const { graphql, graphiql = null, trustedDocuments } = value;
  const { authority, clientId, scope, tokenUse } = value.signIn;
  if (typeof graphql !== "string" || typeof trustedDocuments !== "boolean") throw invalid;
  if (graphiql !== null && typeof graphiql !== "string") throw invalid;
  if (typeof authority !== "string" || typeof clientId !== "string" || typeof scope !== "string") throw invalid;
  if (tokenUse !== "access" && tokenUse !== "id") throw invalid;
  return { graphql, graphiql, trustedDocuments, signIn: { authority, clientId, scope, tokenUse } };
}

export async function loadConfig(): Promise<Config> {
  const response = await fetch("/app/config.json");
  if (!response.ok) throw new Error(`/app/config.json: status ${response.status}`);
  return parseConfig(await response.json());
}
