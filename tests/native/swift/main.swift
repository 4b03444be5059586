// check FOLDER...: runs the cases of each folder (cases.txt and data.bin: tests/native/golden/README.md)
// through the Swift API. One line a difference, then one line of counts; exit code 1 if any differ.

import Edgeskin
import Foundation

var counts: [String: Int] = [:]
var differences = 0

for folder in CommandLine.arguments.dropFirst() {
  let text = try String(contentsOfFile: folder + "/cases.txt", encoding: .utf8)
  let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/data.bin")))
  for line in text.split(separator: "\n") where !line.hasPrefix("#") {
    let golden = Case(String(line), data)
    counts[golden.function, default: 0] += 1
    if let difference = golden.difference() {
      differences += 1
      print("\(golden.function) \(golden.name): \(difference)")
    }
  }
}
let total = counts.values.reduce(0, +)
let each = counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
print("\(total) cases (\(each)), \(differences) differences, \(Kernels.name)")
exit(total > 0 && differences == 0 ? 0 : 1)
