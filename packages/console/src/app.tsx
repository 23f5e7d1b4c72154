import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { isStatus } from "./api/api-error.ts";
import { openRouter } from "./router.tsx";
import { ConfirmProvider } from "./ui/confirm.tsx";
import { NoticeProvider } from "./ui/notice.tsx";
import { TooltipLayer } from "./ui/tooltip.tsx";
import { paths } from "./util/paths.ts";

const retriesMax = 2;

/** A session that ended while a page was open leads to the login, and back to the page afterwards. */
function onError(error: unknown): void {
  const isLogin = location.pathname === paths.login() || location.pathname.startsWith("/auth/") || location.pathname === "/invite";
  if (isStatus(error, 401) && !isLogin)
    location.assign(`${paths.login()}?${new URLSearchParams({ next: location.pathname + location.search })}`);
}

const client = new QueryClient({
  queryCache: new QueryCache({ onError: (error, query) => query.queryKey[0] !== "me" && onError(error) }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) => failures < retriesMax && isStatus(error, 0, 500, 502, 503, 504),
    },
    mutations: { retry: false },
  },
});

const router = openRouter(client);

export function App() {
  return (
    <QueryClientProvider client={client}>
      <NoticeProvider>
        <ConfirmProvider>
          <RouterProvider router={router} />
        </ConfirmProvider>
      </NoticeProvider>
      <TooltipLayer />
    </QueryClientProvider>
  );
}
