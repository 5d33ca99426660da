import { createRoot } from "react-dom/client";
import { loadConfig } from "./config";
import { createSession } from "./session";
import { Entrance } from "./pages/Entrance";
import "./base.css";

const container = document.getElementById("root");
if (!container) throw new Error("index.html has no #root");
const root = createRoot(container);

// Starts the page: it completes a sign-in, begins one, or shows the messages.
async function open(): Promise<void> {
  root.render(<Entrance state="loading" />);
  try {
    const config = await loadConfig();
    const session = createSession(config.signIn);
    if (location.pathname === "/signed-in") {
      const returnTo = await session.finishSignIn();
      // Loads a new page, so that the page of the messages does not contain the code that only a sign-in needs.
      location.replace(returnTo);
      return;
    }
    if (!session.isSignedIn()) {
      await session.signIn(location.pathname === "/" ? "/messages" : location.pathname);
      return;
    }
    const { renderApp } = await import("./App");
    renderApp(root, config, session);
  } catch (cause) {
    console.warn(cause);
    root.render(<Entrance state="failed" onRetry={location.pathname === "/signed-in" ? restart : open} />);
  }
}

// A new sign-in, because an authorization code is valid only once.
const restart = () => location.replace("/messages");

void open();
