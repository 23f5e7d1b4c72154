/** Something a person makes happen: one request, then what is shown is read again and a notice tells how it went. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { errorText } from "../api/api-error.ts";
import { useNotify } from "../ui/notice.tsx";

export interface ActionOptions<Input, Output> {
  run: (input: Input) => Promise<Output>;
  /** Query keys to read again. */
  refresh?: readonly (readonly unknown[])[];
  done?: string | ((output: Output, input: Input) => string | undefined);
  onDone?: (output: Output, input: Input) => void;
  /** The form shows the error itself. */
  showsError?: boolean;
}

export interface Action<Input> {
  start: (input: Input) => void;
  busy: boolean;
  error: unknown;
  reset: () => void;
}

export function useAction<Input = void, Output = unknown>(options: ActionOptions<Input, Output>): Action<Input> {
  const client = useQueryClient();
  const notify = useNotify();
  const mutation = useMutation({
    mutationFn: (input: Input) => options.run(input),
    onSuccess(output, input) {
      for (const queryKey of options.refresh ?? []) void client.invalidateQueries({ queryKey });
      const text = typeof options.done === "function" ? options.done(output, input) : options.done;
      if (text !== undefined) notify.done(text);
      options.onDone?.(output, input);
    },
    onError(error) {
      if (!options.showsError) notify.failed(errorText(error));
    },
  });
  return { start: (input) => mutation.mutate(input), busy: mutation.isPending, error: mutation.error, reset: mutation.reset };
}
