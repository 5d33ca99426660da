import { useEffect } from "react";
import { Navigate, useNavigate, useParams } from "react-router";
import { useQuery } from "@apollo/client/react";
import { Avatar } from "../components/Avatar";
import { Composer } from "../components/Composer";
import { Loading, Notice } from "../components/Notice";
import { OutgoingList } from "../components/MessageList";
import type { UserPartsFragment } from "../gql/graphql";
import { useTitle } from "../hooks";
import { useMessenger, useOutgoing } from "../messenger";
import { Receiver } from "../operations";
import { PageHeader } from "./GroupPage";

export function NewMessagePage() {
  const { handle = "" } = useParams();
  return <ToHandle key={handle} handle={handle} />;
}

function ToHandle({ handle }: { handle: string }) {
  const { viewer } = useMessenger();
  // The group can have been created since this was last asked.
  const { data, error, refetch } = useQuery(Receiver, { variables: { handle }, fetchPolicy: "cache-and-network" });
  useTitle(data?.user?.displayName ?? null);
  if (handle === viewer.handle)
    return <NoReceiver title="This is you" text="You can write to all other users: choose “New message”, and enter another handle." />;
  if (data?.user?.messageGroup) return <Navigate to={`/messages/${data.user.messageGroup.uuid}`} replace />;
  if (data?.user) return <FirstMessage user={data.user} />;
  if (data)
    return <NoReceiver title={`No user has the handle @${handle}`} text="Check the spelling. Upper and lower case letters differ." />;
  return (
    <>
      <PageHeader />
      <Loading text="Loading…" title="This user cannot be shown" error={error} retry={refetch} />
    </>
  );
}

function NoReceiver({ title, text }: { title: string; text: string }) {
  return (
    <>
      <PageHeader />
      <Notice title={title} text={text} />
    </>
  );
}

function FirstMessage({ user }: { user: UserPartsFragment }) {
  const { onNewMessage, onSent } = useMessenger();
  const navigate = useNavigate();
  const { handle } = user;
  const outgoing = useOutgoing((to) => "receiverHandle" in to && to.receiverHandle === handle);

  // The group exists once either user has sent a message.
  useEffect(() => {
    const open = (uuid: string) => void navigate(`/messages/${uuid}`, { replace: true });
    const stopEvents = onNewMessage(({ messageGroupEdge: { node } }) => {
      if (node.otherUser.handle === handle) open(node.uuid);
    });
    const stopSent = onSent(({ to }, messageGroupUuid) => {
      if ("receiverHandle" in to && to.receiverHandle === handle) open(messageGroupUuid);
    });
    return () => {
      stopEvents();
      stopSent();
    };
  }, [onNewMessage, onSent, navigate, handle]);

  return (
    <>
      <PageHeader user={user} />
      <Notice title={user.displayName} text={`This is the beginning of your messages with @${handle}.`}>
        <Avatar user={user} size="large" />
      </Notice>
      <OutgoingList outgoing={outgoing} />
      <Composer to={{ receiverHandle: handle }} name={user.displayName} />
    </>
  );
}
