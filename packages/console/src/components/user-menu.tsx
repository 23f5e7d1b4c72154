import { useQueryClient } from "@tanstack/react-query";
import { ChevronsUpDown, LogOut, Monitor, Moon, Sun } from "lucide-react";
import { call } from "../api/call.ts";
import { useAction } from "../hooks/use-action.ts";
import { useMe } from "../hooks/use-me.ts";
import { useTheme } from "../hooks/use-theme.ts";
import { Menu, MenuItem, MenuLine, MenuTitle } from "../ui/menu.tsx";
import { paths } from "../util/paths.ts";

const themes = [
  { value: "system", label: "System", icon: Monitor },
  { value: "light", label: "Light", icon: Sun },
  { value: "dark", label: "Dark", icon: Moon },
] as const;

export function UserMenu() {
  const me = useMe();
  const client = useQueryClient();
  const [theme, chooseTheme] = useTheme();
  const logout = useAction({
    run: () => call("auth.logout"),
    onDone: () => {
      client.clear();
      location.assign(paths.login());
    },
  });
  return (
    <Menu
      label="Account"
      trigger={(props) => (
        <button type="button" {...props} className="flex w-full items-center gap-2.5 rounded-md px-2 py-1.5 text-left hover:bg-hover">
          <Face name={me?.display_name ?? ""} image={me?.profile_image_url ?? ""} />
          <span className="min-w-0 grow">
            <span className="sr-only">Account:</span>
            <span className="block truncate text-sm">{me?.display_name}</span>
            <span className="block truncate text-xs text-muted">
              {me?.org_name}
              {me?.role === undefined ? "" : ` · ${me.role}`}
            </span>
          </span>
          <ChevronsUpDown className="size-3.5 shrink-0 text-faint" aria-hidden="true" />
        </button>
      )}
    >
      <MenuTitle>Theme</MenuTitle>
      {themes.map(({ value, label, icon: Icon }) => (
        <MenuItem key={value} checked={theme === value} onSelect={() => chooseTheme(value)}>
          <Icon aria-hidden="true" /> {label}
        </MenuItem>
      ))}
      <MenuLine />
      <MenuItem onSelect={() => logout.start()}>
        <LogOut aria-hidden="true" /> Sign out
      </MenuItem>
    </Menu>
  );
}

function Face({ name, image }: { name: string; image: string }) {
  if (image !== "") return <img src={image} alt="" className="size-6 rounded-full" />;
  return (
    <span
      aria-hidden="true"
      className="flex size-6 shrink-0 items-center justify-center rounded-full bg-accent-soft text-xs font-medium text-accent"
    >
      {name.trim().charAt(0).toUpperCase()}
    </span>
  );
}
