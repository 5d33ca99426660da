// The URLs of the editor's workers, which are files in this folder.
const places = { editorWorkerService: EDITOR_WORKER, json: JSON_WORKER, graphql: GRAPHQL_WORKER };

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const place = places[label] ?? EDITOR_WORKER;
    return new Worker(new URL(place, import.meta.url), { name: label });
  },
};
