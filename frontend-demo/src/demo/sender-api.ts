/** The operations of the send form and the receipts table, called with a service token. */
import { join, type HubConnection } from "../../packages/client/src/connection";
import { graphql, type ResultOf, type VariablesOf } from "../../packages/client/src/graphql";
import { getDemoToken, type DemoRole } from "./tokens";

export const Categories = graphql(`
  query Categories { categories { key name defaultChannels priority required } }
`);

export const Templates = graphql(`
  query Templates { templates { key variables } }
`);

/** The number of users for whom a send is simulated. */
export const SIMULATED = 10;

export const Simulate = graphql(`
  query Simulate($input: SendInput!, $first: Int!) {
    simulate(input: $input, first: $first) { userId decisions { channel step unless outcome reason dueAt title } }
  }
`);

export const Topics = graphql(`
  query Topics { topics(first: 100) { nodes { key name } } }
`);

export const CountAudience = graphql(`
  query CountAudience($to: RecipientsInput!) { audience(to: $to) { recipients exact scans } }
`);

export const Send = graphql(`
  mutation Send($input: SendInput!) { send(input: $input) { send { id } } }
`);

export const Recall = graphql(`
  mutation Recall($id: ID!) { recallSend(id: $id) { status } }
`);

export const Pause = graphql(`
  mutation Pause($id: ID!) { pauseSend(id: $id) { status } }
`);

export const Resume = graphql(`
  mutation Resume($id: ID!) { resumeSend(id: $id) { status } }
`);

export const Sends = graphql(`
  query Sends { sends(first: 20) { nodes { id status title createdAt sendAt recipients total } } }
`);

export const Progress = graphql(`
  subscription Progress($send: ID!) {
    send(id: $send) {
      status reason pausedReason recipients total remaining sendAt
      counts { channel status count }
      deliveries(filter: { statuses: [HELD] }, first: 100) { nodes { userId channel reason dueAt } }
    }
  }
`);

export const Receipts = graphql(`
  subscription Receipts($send: ID!, $after: Cursor) {
    receipts(sendId: $send, after: $after) { id cursor kind at userId channel status reason actionKey }
  }
`);

export const Events = graphql(`
  query Events {
    events(first: 20) { nodes { id type status reason receivedAt results { rule reason send { title } } } }
  }
`);

export const PublishEvent = graphql(`
  mutation PublishEvent($input: EventInput!) { publishEvent(input: $input) { id } }
`);

const AuditLog = graphql(`
  query AuditLog { auditLog(first: 50) { nodes { at actor action target changes } } }
`);

const ServiceKeys = graphql(`
  query ServiceKeys { serviceKeys { name preview role scopes lastUsedAt revokedAt } }
`);

const SetPreferences = graphql(`
  mutation SetPreferences($input: PreferencesInput!) { updatePreferences(input: $input) { dailyLimit } }
`);

export type Category = ResultOf<typeof Categories>["categories"][number];
export type Simulation = ResultOf<typeof Simulate>["simulate"][number];
export type Topic = ResultOf<typeof Topics>["topics"]["nodes"][number];
export type Audience = ResultOf<typeof CountAudience>["audience"];
export type Sent = ResultOf<typeof Sends>["sends"]["nodes"][number];
export type SendProgress = ResultOf<typeof Progress>["send"];
export type EventRow = ResultOf<typeof Events>["events"]["nodes"][number];
export type Receipt = ResultOf<typeof Receipts>["receipts"];
export type AuditEntry = ResultOf<typeof AuditLog>["auditLog"]["nodes"][number];
export type ServiceKey = ResultOf<typeof ServiceKeys>["serviceKeys"][number];
export type SendInput = VariablesOf<typeof Send>["input"];
export type Step = NonNullable<SendInput["steps"]>[number];
export type Preferences = VariablesOf<typeof SetPreferences>["input"];
export type Channel = Receipt["channel"] & string;

/** Connect with a service token. Rejects with `TokensUnavailable` if the hub does not issue tokens. */
export async function connect(): Promise<HubConnection> {
  await getDemoToken("service");
  return join("/graphql", (refused) => getDemoToken("service", refused));
}

/** Return the newest entries of the audit log, which only an administrator may read. */
export async function readAuditLog(): Promise<readonly AuditEntry[]> {
  return connectedAs("admin", async (hub) => (await hub.query(AuditLog)).auditLog.nodes);
}

/** Return the service keys, which only an administrator may read. */
export async function readServiceKeys(): Promise<readonly ServiceKey[]> {
  return connectedAs("admin", async (hub) => (await hub.query(ServiceKeys)).serviceKeys);
}

/** Change the preferences of a user, as `<hub-preferences>` does with the user's token. */
export async function setPreferences(user: DemoRole, input: Preferences): Promise<void> {
  await connectedAs(user, (hub) => hub.mutate(SetPreferences, { input }));
}

/** Call the hub with a token of another role. */
async function connectedAs<Result>(role: DemoRole, call: (hub: HubConnection) => Promise<Result>): Promise<Result> {
  const getToken = (refused?: string) => getDemoToken(role, refused);
  const hub = await join("/graphql", getToken);
  try {
    return await call(hub);
  } finally {
    hub.leave(getToken);
  }
}
