import { StrictMode, useEffect, useState } from "react";
import type { Root } from "react-dom/client";
import { ApolloProvider } from "@apollo/client/react";
import { BrowserRouter, matchPath, Navigate, Route, Routes } from "react-router";
import type { Config } from "./config";
import { failureOf } from "./failures";
import { type Messenger, MessengerProvider } from "./messenger";
import { Entrance } from "./pages/Entrance";
import { GroupPage } from "./pages/GroupPage";
import { Layout } from "./pages/Layout";
import { NewMessagePage } from "./pages/NewMessagePage";
import { Welcome } from "./pages/Welcome";
import { Notice } from "./components/Notice";
import type { Session } from "./session";
import { isUuid, startMessenger } from "./start";

export function renderApp(root: Root, config: Config, session: Session): void {
  root.render(
    <StrictMode>
      <App config={config} session={session} />
    </StrictMode>,
  );
}

type State = { messenger: Messenger } | { failure: string } | "loading" | "ended";

function App({ config, session }: { config: Config; session: Session }) {
  const [state, setState] = useState<State>("loading");
  const [attempt, setAttempt] = useState(0);

  // StrictMode runs the effect twice; the first start is aborted.
  useEffect(() => {
    const stopping = new AbortController();
    const shown = matchPath("/messages/:uuid", location.pathname)?.params.uuid;
    startMessenger({
      config,
      session,
      shownGroup: shown && isUuid(shown) ? shown : null,
      signal: stopping.signal,
      onSessionEnd: () => setState("ended"),
    }).then(
      (messenger) => setState({ messenger }),
      (error: unknown) => {
        if (stopping.signal.aborted) return;
        const { isSignedOut, reason } = failureOf(error);
        setState(isSignedOut ? "ended" : { failure: reason });
      },
    );
    return () => stopping.abort();
  }, [config, session, attempt]);

  if (state === "loading") return <Entrance state="loading" />;
  if (state === "ended") {
    const signIn = () => void session.forget().then(() => session.signIn(location.pathname));
    return <Entrance state="ended" onSignIn={signIn} />;
  }
  if ("failure" in state) {
    const retry = () => {
      setState("loading");
      setAttempt(attempt + 1);
    };
    return (
      <main>
        <Notice title="Messages cannot be shown" text={state.failure} action={{ label: "Try again", onClick: retry }} />
      </main>
    );
  }
  const { messenger } = state;
  return (
    <ApolloProvider client={messenger.client}>
      <MessengerProvider value={messenger}>
        <BrowserRouter>
          <Routes>
            <Route path="/messages" element={<Layout />}>
              <Route index element={<Welcome />} />
              <Route path="new/:handle" element={<NewMessagePage />} />
              <Route path=":uuid" element={<GroupPage />} />
            </Route>
            <Route path="*" element={<Navigate to="/messages" replace />} />
          </Routes>
        </BrowserRouter>
      </MessengerProvider>
    </ApolloProvider>
  );
}
