// Drafts, one for each destination. They are kept after a reload, until the tab is closed.

export interface Drafts {
  read: (destination: string) => string;
  write: (destination: string, text: string) => void;
}

export function createDrafts(viewerUuid: string): Drafts {
  const name = (destination: string) => `cruddur.draft.${viewerUuid}.${destination}`;
  return {
    read: (destination) => sessionStorage.getItem(name(destination)) ?? "",
    write(destination, text) {
      if (text) sessionStorage.setItem(name(destination), text);
      else sessionStorage.removeItem(name(destination));
    },
  };
}
