// swift-tools-version:5.9
// A program over edgeskin's Swift package, as an app would use it: see main.swift.
import PackageDescription

let package = Package(
  name: "check",
  platforms: [.iOS(.v15), .macOS(.v12)],
  dependencies: [.package(name: "Edgeskin", path: "../../../edgeskin/native")],
  targets: [.executableTarget(name: "check", dependencies: ["Edgeskin"], path: ".", exclude: ["stubs"])]
)
