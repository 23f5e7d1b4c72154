import { expect, test } from "vitest";
import { chooseRate, kernelFigure, processorFamily } from "./tsc-rate.ts";

const cpuinfo =
  "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Some CPU\ncpu MHz\t\t: 2596.122\n\nprocessor\t: 1\ncpu MHz\t\t: 1200.000\n";

test("the kernel's figure counts when a measurement agrees, because it does not vary", () => {
  expect(kernelFigure(cpuinfo)).toBe(2_596_122);
  expect(chooseRate(2_596_122, 2_596_140.7)).toEqual({ khz: 2_596_122, source: "/proc/cpuinfo, confirmed by measurement" });
});

test("a core that runs at another clock than its counter is measured", () => {
  expect(chooseRate(1_200_000, 2_596_121.6)).toEqual({ khz: 2_596_122, source: "measured" });
});

test("without a measurement there is only the kernel's figure", () => {
  expect(chooseRate(2_000_000, Number.NaN).khz).toBe(2_000_000);
});

test("a processor's family is its maker, family and model", () => {
  expect(processorFamily(cpuinfo)).toBe("GenuineIntel-6-85");
  expect(processorFamily("")).toBe("unknown-unknown-unknown");
});
