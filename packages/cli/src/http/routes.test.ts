import {
  apiEndpointList,
  isTerminalDeploymentEvent,
  isTerminalRunStatus,
  runStatuses,
  terminalDeploymentEventKinds as protocolDeploymentKinds,
  terminalExecStates as protocolExecStates,
  terminalPtyStates as protocolPtyStates,
  terminalRunEventKinds as protocolRunKinds,
} from "@helmr/protocol/api";
import { describe, expect, test } from "vitest";
import { routes } from "./routes.ts";
import {
  terminalDeploymentEventKinds,
  terminalExecStates,
  terminalPtyStates,
  terminalRunEventKinds,
  terminalRunStatuses,
} from "./terminal-states.ts";

describe("routes", () => {
  test.each(Object.entries(routes))("%s is what the protocol says", (id, route) => {
    const endpoint = apiEndpointList.find((candidate) => candidate.id === id);
    expect(endpoint).toMatchObject(route);
  });
});

describe("terminal states", () => {
  test("are those of the protocol", () => {
    expect(runStatuses.filter(isTerminalRunStatus)).toEqual([...terminalRunStatuses]);
    expect(terminalRunEventKinds).toEqual(protocolRunKinds);
    expect(terminalDeploymentEventKinds).toEqual(protocolDeploymentKinds);
    expect(terminalDeploymentEventKinds.every(isTerminalDeploymentEvent)).toBe(true);
    expect(terminalExecStates).toEqual(protocolExecStates);
    expect(terminalPtyStates).toEqual(protocolPtyStates);
  });
});
