// Compiled only: the declarations of the packages are valid without any other package, and have exact types.
import { createClient, createInbox, type HubNotification, type InboxStore, type Status } from "@notification-hub/client";
import { createPreferences, type Channel, type PreferencesStore } from "@notification-hub/client/preferences";
import { HubInbox } from "@notification-hub/inbox";
import "@notification-hub/inbox/hub-inbox.css";
import { HubPreferences } from "@notification-hub/inbox/preferences";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_same: Same<A, B>): void => {};

const client = createClient({ endpoint: "/graphql", getToken: async () => "token" });
const inbox = createInbox(client);
same<typeof inbox, InboxStore>(true);
same<ReturnType<typeof inbox.getSnapshot>["status"], Status>(true);
same<ReturnType<typeof inbox.list>["items"], readonly HubNotification[]>(true);
same<HubNotification["readAt"], string | null>(true);
inbox.on("arrived", (notification) => same<typeof notification, HubNotification>(true));
inbox.unpin(inbox.list("PINNED").items.map(({ id }) => id));
// @ts-expect-error: there is no such list
inbox.list("READ");
// @ts-expect-error: an endpoint is required
createClient({});

const preferences = createPreferences(client);
same<typeof preferences, PreferencesStore>(true);
same<Parameters<typeof preferences.switchChannel>, [channel: Channel, enabled: boolean]>(true);

const bell = new HubInbox();
bell.words = { archive: "File away" };
// @ts-expect-error: there is no such text
bell.words = { archiv: "File away" };
bell.addEventListener("hub-open", ({ detail }) => same<typeof detail.notification, HubNotification>(true));
document.querySelector("hub-inbox")?.open();
void new HubPreferences().explain("id");
