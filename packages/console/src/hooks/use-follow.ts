/** Follows one event stream of the server while the component is there. */
import { useEffect, useEffectEvent, useState } from "react";
import { ApiError } from "../api/api-error.ts";
import { follow, type StreamEvent, type StreamState } from "../api/event-stream.ts";

export interface FollowOptions {
  url: string;
  enabled?: boolean;
  onEvents: (events: StreamEvent[]) => void;
  isOver: () => boolean;
}

export function useFollow({ url, enabled = true, ...callbacks }: FollowOptions): { state: StreamState; error: ApiError | undefined } {
  const [state, setState] = useState<StreamState>("connecting");
  const [error, setError] = useState<ApiError>();
  const onEvents = useEffectEvent(callbacks.onEvents);
  const isOver = useEffectEvent(callbacks.isOver);
  useEffect(() => {
    if (!enabled) return undefined;
    const stop = new AbortController();
    setError(undefined);
    follow({ url, signal: stop.signal, onEvents: (events) => onEvents(events), onState: setState, isOver: () => isOver() }).catch(
      (cause: unknown) => {
        setState("done");
        setError(cause instanceof ApiError ? cause : new ApiError(0, String(cause), { cause }));
      },
    );
    return () => stop.abort();
  }, [url, enabled]);
  return { state, error };
}
