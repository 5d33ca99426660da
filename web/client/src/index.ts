export { connectApi, type Api, type ApiOptions, type Retry } from "./api";
export { SignedOut, type Token } from "./session";
export { type ConnectionState, type Live } from "./live";
export { destinationKey, Outbox, type Destination, type OutboxOptions, type OutgoingMessage, type SendResult } from "./outbox";
