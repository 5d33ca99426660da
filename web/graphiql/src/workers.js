// Where the editor finds its workers: files beside this one.
const places = { editorWorkerService: EDITOR_WORKER, json: JSON_WORKER, graphql: GRAPHQL_WORKER };

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const place = places[label] ?? EDITOR_WORKER;
    return new Worker(new URL(place, import.meta.url), { name: label });
  },
};
