/** The client that the components and hooks below a provider share. */
import { createElement, createContext, useContext, useEffect, useMemo, useState, type ReactElement, type ReactNode } from "react";
import { createClient, createInbox, type ClientOptions, type HubClient, type InboxStore } from "@notification-hub/client";
import { createPreferences, type PreferencesStore } from "@notification-hub/client/preferences";

interface Hub {
  options: ClientOptions;
  client: HubClient;
  inbox: InboxStore;
  preferences: PreferencesStore;
}

const HubContext = createContext<Hub | undefined>(undefined);

export interface HubProviderProps extends ClientOptions {
  children?: ReactNode;
}

/** Gives the components and hooks below it access to the hub. All options can change at any time. */
export function HubProvider({ endpoint, token, getToken, children }: HubProviderProps): ReactElement {
  const [stores] = useState(() => {
    const client = createClient({ endpoint, token, getToken });
    return { client, inbox: createInbox(client), preferences: createPreferences(client) };
  });
  const hub = useMemo(() => ({ ...stores, options: { endpoint, token, getToken } }), [stores, endpoint, token, getToken]);
  useEffect(() => stores.client.update(hub.options), [stores, hub.options]);
  return createElement(HubContext, { value: hub }, children);
}

/** Return the provider's value, or undefined without a provider. */
export const useOptionalHub = (): Hub | undefined => useContext(HubContext);

export function useHub(): Hub {
  const hub = useOptionalHub();
  if (!hub) throw new Error("There is no <HubProvider> above this component.");
  return hub;
}

/** Return the client, for example to call `refresh` after another user signed in. */
export const useHubClient = (): HubClient => useHub().client;
