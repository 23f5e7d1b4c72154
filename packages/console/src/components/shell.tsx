/** The frame of every page of an environment: side bar, the environment's colour on top, keys. */
import { Outlet, useLocation } from "@tanstack/react-router";
import { Menu as MenuIcon, Search, X } from "lucide-react";
import { lazy, Suspense, useEffect, useState } from "react";
import { useGo } from "../hooks/use-go.ts";
import { useHotkeys } from "../hooks/use-hotkeys.ts";
import { useMe } from "../hooks/use-me.ts";
import { useScope } from "../hooks/use-scope.ts";
import { AppLink } from "../ui/app-link.tsx";
import { IconButton } from "../ui/button.tsx";
import { classes } from "../ui/classes.ts";
import { rememberScope } from "../util/last-scope.ts";
import { paths } from "../util/paths.ts";
import { EmptyState } from "./list-states.tsx";
import { Logo } from "./logo.tsx";
import { type Place, places } from "./navigation.ts";
import { ScopeSwitch, useCurrentScope } from "./scope-switch.tsx";
import { UserMenu } from "./user-menu.tsx";

const CommandPalette = lazy(() => import("./command-palette.tsx").then((module) => ({ default: module.CommandPalette })));

export function Shell() {
  const scope = useScope();
  const { projects, environment } = useCurrentScope();
  const { pathname } = useLocation();
  const go = useGo();
  const [palette, setPalette] = useState(false);
  const [drawer, setDrawer] = useState(false);
  useHotkeys({
    onPalette: () => setPalette(true),
    onGo(key) {
      const place = places.flatMap((group) => group.places).find((each) => each.key === key);
      if (place) go(place.href(scope));
    },
  });
  useEffect(() => setDrawer(false), [pathname]);
  useEffect(() => {
    if (environment) rememberScope(scope);
  }, [environment, scope]);
  return (
    <div className="flex min-h-dvh flex-col md:pl-60">
      <a
        href="#content"
        className="sr-only z-80 rounded-md bg-accent px-3 py-2 text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        Skip to content
      </a>
      <div
        aria-hidden="true"
        className="fixed inset-x-0 top-0 z-30 h-[3px]"
        style={{ background: environment?.color_hex ?? "var(--line)" }}
      />
      <TopBar onMenu={() => setDrawer(true)} onSearch={() => setPalette(true)} />
      <SideBar open={drawer} onClose={() => setDrawer(false)} onSearch={() => setPalette(true)} />
      <main id="content" tabIndex={-1} className="mx-auto w-full max-w-[1240px] min-w-0 grow px-4 pt-4 pb-16 outline-none md:px-7 md:pt-7">
        {projects.length > 0 && !environment ? <UnknownScope /> : <Outlet />}
      </main>
      {palette ? (
        <Suspense>
          <CommandPalette onClose={() => setPalette(false)} />
        </Suspense>
      ) : null}
    </div>
  );
}

function UnknownScope() {
  const { project, environment } = useScope();
  return (
    <EmptyState title="There is no such environment">
      {project} / {environment} does not exist, or you are not a member of its organization.{" "}
      <AppLink href={paths.home()} className="text-accent underline">
        Go to another one
      </AppLink>
    </EmptyState>
  );
}

function TopBar({ onMenu, onSearch }: { onMenu: () => void; onSearch: () => void }) {
  const { project, environment } = useCurrentScope();
  return (
    <div className="sticky top-0 z-20 flex items-center gap-2 border-b border-line bg-canvas/95 px-3 pt-[7px] pb-1 md:hidden">
      <IconButton label="Menu" onClick={onMenu} className="size-9">
        <MenuIcon />
      </IconButton>
      <span className="min-w-0 grow truncate text-sm font-medium">
        {project?.name} <span className="font-normal text-muted">/ {environment?.name}</span>
      </span>
      <IconButton label="Search" onClick={onSearch} className="size-9">
        <Search />
      </IconButton>
    </div>
  );
}

function SideBar({ open, onClose, onSearch }: { open: boolean; onClose: () => void; onSearch: () => void }) {
  useEffect(() => {
    if (!open) return undefined;
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && onClose();
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [open, onClose]);
  return (
    <>
      {open ? <div aria-hidden="true" onClick={onClose} className="fixed inset-0 z-30 bg-[oklch(20%_0.02_240/0.45)] md:hidden" /> : null}
      <div
        className={classes(
          "fixed inset-y-0 left-0 z-40 flex w-64 flex-col border-r border-line bg-sunken pt-[3px] md:visible md:z-10 md:w-60 md:translate-x-0",
          open ? "shadow-raised" : "invisible -translate-x-full",
        )}
      >
        <div className="flex items-center gap-2 px-4 pt-4 pb-3">
          <AppLink href={paths.home()} className="flex items-center gap-2 rounded">
            <Logo className="size-6" />
            <span className="text-base font-semibold tracking-tight">Helmr</span>
          </AppLink>
          <IconButton label="Close menu" onClick={onClose} className="ml-auto md:hidden">
            <X />
          </IconButton>
        </div>
        <div className="space-y-2 px-3">
          <ScopeSwitch />
          <button
            type="button"
            onClick={onSearch}
            className="flex w-full items-center gap-2 rounded-md px-2.5 py-1.5 text-sm text-muted hover:bg-hover hover:text-ink"
          >
            <Search className="size-4" aria-hidden="true" />
            Go to…
            <kbd className="ml-auto rounded border border-line bg-surface px-1 font-sans text-2xs text-faint">Ctrl K</kbd>
          </button>
        </div>
        <Navigation />
        <div className="border-t border-line p-2">
          <UserMenu />
        </div>
      </div>
    </>
  );
}

function Navigation() {
  const me = useMe();
  const allowed = (place: Place) => place.needs === undefined || me === undefined || me.permissions.includes(place.needs);
  return (
    <nav aria-label="Environment" className="min-h-0 grow overflow-y-auto px-3 py-2">
      {places.map((group, index) => {
        const shown = group.places.filter(allowed);
        if (shown.length === 0) return null;
        return (
          <div key={group.title ?? index} className="mb-3">
            {group.title === undefined ? null : <p className="px-2.5 pt-1 pb-1 text-2xs font-medium text-faint">{group.title}</p>}
            {shown.map((place) => (
              <PlaceLink key={place.label} place={place} />
            ))}
          </div>
        );
      })}
    </nav>
  );
}

function PlaceLink({ place: { label, href, icon: Icon } }: { place: Place }) {
  const scope = useScope();
  const { pathname } = useLocation();
  const target = href(scope);
  const active = target === paths.overview(scope) ? pathname.replace(/\/$/, "") === target : pathname.startsWith(target);
  return (
    <AppLink
      href={target}
      aria-current={active ? "page" : undefined}
      className={classes(
        "flex h-8 items-center gap-2.5 rounded-md px-2.5 text-sm",
        active ? "bg-surface font-medium text-ink shadow-card ring-1 ring-line" : "text-muted hover:bg-hover hover:text-ink",
      )}
    >
      <Icon className={classes("size-4", active && "text-accent")} aria-hidden="true" />
      {label}
    </AppLink>
  );
}
