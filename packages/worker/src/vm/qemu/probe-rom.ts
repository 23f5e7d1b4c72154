/**
 * Firmware that proves hardware virtualization, or fails to. A broken KVM (seen: nested, where guest kernel code is emulated instruction by
 * instruction) runs trivial code and even long mode; it is found by what it cannot do:
 *   - 50 million turns of a loop: milliseconds on a processor, minutes in an emulator of single instructions
 *   - `lock cmpxchg16b`, which KVM's instruction emulator does not have
 * Then the debug exit port ends the monitor with the code (0x2a << 1) | 1 = 85. Put together by hand; checked against `as` and `objdump`.
 */
export const probeExitPort = 0xf4;
export const probeExitCode = 85;

const romBytes = 65_536;
/** Where a processor starts: 16 bytes before the end. */
const resetVector = 0xfff0;

/** Offset 0 of the image is address 0xf0000. Bytes, then what they are. */
const code: readonly (readonly number[])[] = [
  // 16-bit real mode
  [0xfa], //                                           00  cli
  [0xfc], //                                           01  cld
  [0x31, 0xc0], //                                     02  xor    ax, ax
  [0x8e, 0xd8], //                                     04  mov    ds, ax
  [0x8e, 0xc0], //                                     06  mov    es, ax
  [0xbf, 0x00, 0x10], //                               08  mov    di, 0x1000
  [0xb9, 0x00, 0x18], //                               0b  mov    cx, 0x1800
  [0xf3, 0xab], //                                     0e  rep stosw                    three empty page tables
  [0xc7, 0x06, 0x00, 0x10, 0x03, 0x20], //             10  mov    word [0x1000], 0x2003  level 4 → level 3
  [0xc7, 0x06, 0x00, 0x20, 0x03, 0x30], //             16  mov    word [0x2000], 0x3003  level 3 → level 2
  [0xc7, 0x06, 0x00, 0x30, 0x83, 0x00], //             1c  mov    word [0x3000], 0x0083  the first 2 MiB as one page
  [0x2e, 0x66, 0x0f, 0x01, 0x16, 0x90, 0x00], //       22  lgdt   cs:[0x90]
  [0x0f, 0x20, 0xe0], //                               29  mov    eax, cr4
  [0x66, 0x83, 0xc8, 0x20], //                         2c  or     eax, 0x20              physical address extension
  [0x0f, 0x22, 0xe0], //                               30  mov    cr4, eax
  [0x66, 0xb8, 0x00, 0x10, 0x00, 0x00], //             33  mov    eax, 0x1000
  [0x0f, 0x22, 0xd8], //                               39  mov    cr3, eax
  [0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0], //             3c  mov    ecx, 0xc0000080        EFER
  [0x0f, 0x32], //                                     42  rdmsr
  [0x66, 0x0d, 0x00, 0x01, 0x00, 0x00], //             44  or     eax, 0x100             long mode
  [0x0f, 0x30], //                                     4a  wrmsr
  [0x0f, 0x20, 0xc0], //                               4c  mov    eax, cr0
  [0x66, 0x0d, 0x01, 0x00, 0x00, 0x80], //             4f  or     eax, 0x80000001        paging, protection
  [0x0f, 0x22, 0xc0], //                               55  mov    cr0, eax
  [0x66, 0xea, 0x60, 0x00, 0x0f, 0x00, 0x08, 0x00], // 58  jmp    8:0xf0060
  // 64-bit long mode
  [0xb9, 0x80, 0xf0, 0xfa, 0x02], //                   60  mov    ecx, 50000000
  [0xff, 0xc9], //                                     65  dec    ecx
  [0x75, 0xfc], //                                     67  jne    0x65
  [0xbf, 0x00, 0x40, 0x00, 0x00], //                   69  mov    edi, 0x4000
  [0xf0, 0x48, 0x0f, 0xc7, 0x0f], //                   6e  lock cmpxchg16b [rdi]
  [0xb0, 0x2a], //                                     73  mov    al, 0x2a
  [0xe6, probeExitPort], //                            75  out    0xf4, al
  [0xf4], //                                           77  hlt
  [0xeb, 0xfd], //                                     78  jmp    0x77
  [0x90, 0x90, 0x90, 0x90, 0x90, 0x90], //             7a  (to a multiple of 8)
  [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00], // 80  descriptor 0
  [0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00], // 88  descriptor 8: 64-bit code
  [0x0f, 0x00], //                                     90  limit of the table
  [0x80, 0x00, 0x0f, 0x00], //                         92  its address, 0xf0080
];

export function probeRom(): Buffer {
  const rom = Buffer.alloc(romBytes, 0xf4);
  Buffer.from(code.flat()).copy(rom, 0);
  // jmp 0xf000:0x0000
  Buffer.from([0xea, 0x00, 0x00, 0x00, 0xf0]).copy(rom, resetVector);
  return rom;
}
