import CLinux

