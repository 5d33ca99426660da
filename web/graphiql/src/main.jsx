// GraphiQL with authentication.
import "./workers.js";
import "graphiql/style.css";
import "./page.css";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { GraphiQL } from "graphiql";
import { parse } from "graphql";
import { useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import { examples } from "./examples.js";
import { fetcher, newestMessageGroup, people, signInAs, setToken } from "./session.js";

// Tabs and history are kept only in memory, because they may contain secrets.
function memory() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
    clear: () => kept.clear(),
    get length() {
      return kept.size;
    },
  };
}

// Returns whether a document contains only queries.
function onlyQueries(document) {
  try {
    return parse(document).definitions.every(({ operation = "query" }) => operation === "query");
  } catch {
    return false;
  }
}

// Sets variables for the current user in examples that have not been edited.
function useFittingVariables(first) {
  const queryEditor = useGraphiQL((state) => state.queryEditor);
  const variableEditor = useGraphiQL((state) => state.variableEditor);
  const activeTabIndex = useGraphiQL((state) => state.activeTabIndex);
  // Document → all variables that were set for it, the last one at the end.
  const given = useRef(new Map(examples(first).map(({ query, variables }) => [query, [variables]])));
  const fit = () => {
    const known = given.current.get(queryEditor?.getValue());
    if (known?.includes(variableEditor?.getValue())) variableEditor.setValue(known.at(-1));
  };
  useEffect(fit, [activeTabIndex]);
  return (newest) => {
    for (const { query, variables } of examples(newest)) given.current.get(query).push(variables);
    fit();
  };
}

// Returns the receiver in the example of a first message.
const receiver = (who) => (who === "tove" ? "luu" : "tove");

// Selects the demo user. Queries run again as the new user; mutations do not.
function Switch({ handles, newest }) {
  const { run } = useGraphiQLActions();
  const queryEditor = useGraphiQL((state) => state.queryEditor);
  const fitVariables = useFittingVariables(newest);
  const [who, setWho] = useState(handles[0]);
  // The user whose sign-in is in progress.
  const [chosen, setChosen] = useState(null);
  const [failed, setFailed] = useState("");
  const change = async ({ target: { value } }) => {
    setChosen(value);
    setFailed("");
    try {
      if (!(await signInAs(value))) return;
      setWho(value);
      fitVariables({ ...(await newestMessageGroup()), receiver: receiver(value) });
      if (onlyQueries(queryEditor?.getValue() ?? "")) run();
    } catch (error) {
      setFailed(error.message);
    }
    setChosen(null);
  };
  return (
    <label className="cruddur-session">
      Signed in as
      <select value={chosen ?? who} disabled={chosen !== null} onChange={change}>
        {handles.map((handle) => (
          <option key={handle}>{handle}</option>
        ))}
      </select>
      <span role="alert">{failed}</span>
    </label>
  );
}

// An input field for a token.
function Token() {
  const { introspect } = useGraphiQLActions();
  const fitVariables = useFittingVariables();
  const [failed, setFailed] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    try {
      setToken(new FormData(event.target).get("token"));
      setFailed("");
      introspect();
      const newest = await newestMessageGroup();
      fitVariables({ ...newest, receiver: newest?.other });
    } catch (error) {
      setFailed(error.message);
    }
  };
  return (
    <form className="cruddur-session" onSubmit={submit}>
      <label>
        Access token
        <input name="token" type="password" autoComplete="off" placeholder="from Cognito" />
      </label>
      <button type="submit">Use</button>
      <span role="alert">{failed}</span>
    </form>
  );
}

function Page({ handles, newest }) {
  return (
    <GraphiQL
      fetcher={fetcher}
      storage={memory()}
      shouldPersistHeaders={false}
      showPersistHeadersSettings={false}
      defaultTabs={examples(newest)}
      defaultEditorToolsVisibility="variables"
    >
      <GraphiQL.Logo>{handles.length ? <Switch handles={handles} newest={newest} /> : <Token />}</GraphiQL.Logo>
    </GraphiQL>
  );
}

const root = document.getElementById("graphiql");
try {
  const handles = await people();
  if (handles.length) await signInAs(handles[0]);
  const newest = handles.length ? await newestMessageGroup() : undefined;
  createRoot(root).render(<Page handles={handles} newest={newest} />);
} catch (error) {
  root.firstElementChild.textContent = `Sign-in failed: ${error.message}`;
}
